import { concat, split } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import type { MatrixSelection } from '../loading/matrix-parts.ts'
import type { RowRange } from '../loading/weight-source.ts'
import { gatedActivation } from '../ops/gated-activation.ts'
import type { GatedActivationKind } from '../ops/gated-activation.ts'
import { assert } from '../util/assert.ts'
import type { ForwardContext } from './forward-context.ts'
import type { LinearRole, LoadedLinear } from './linear-method.ts'
import { shardRange, shareHeads } from './shard.ts'
import type { WeightLoader } from './weight-loader.ts'

/** Tensor-parallel linear layers (Shoeybi et al. 2019, arXiv:1909.08053). With one rank all of them are the same. */
export interface Linear {
  /** x `[n, inFeatures]` → `[n, outFeatures]`, of this rank's share where the layer is sharded. */
  forward(x: Tensor2D, context: ForwardContext): Tensor2D
}

/** Several layers on the same input. */
export interface MergedLinear extends Linear {
  /** One tensor per part. */
  forwardParts(x: Tensor2D, context: ForwardContext): Tensor2D[]
  /** Of a gate and an up projection: `act(gate(x)) * up(x)`. */
  forwardGated(x: Tensor2D, kind: GatedActivationKind, context: ForwardContext): Tensor2D
}

export interface LinearOptions {
  /** The tensor's name up to the dot before `weight` and `bias`. */
  readonly prefix: string
  readonly inFeatures: number
  readonly outFeatures: number
  readonly hasBias: boolean
  /** Default 'linear'. */
  readonly role?: LinearRole
}

/** The whole weight on every rank. */
export function createReplicatedLinear(loader: WeightLoader, options: LinearOptions): Linear {
  const { loaded, bias } = load(loader, options, {})
  return { forward: (x, context) => loaded.apply(x, bias, context) }
}

export interface ShardedLinearOptions extends LinearOptions {
  /** This rank's features, where they are not simply the ranks' even shares (`shardInnerFeatures`). */
  readonly share?: RowRange
}

/** Output features are split over the ranks; each returns its own. */
export function createColumnLinear(loader: WeightLoader, options: ShardedLinearOptions): Linear {
  const { outFeatures, prefix, share } = options
  const rows = [share ?? shardRange(outFeatures, loader.communicator, { name: prefix })]
  const { loaded, bias } = load(loader, options, { rows })
  return { forward: (x, context) => loaded.apply(x, bias, context) }
}

/** Input features are split over the ranks, as a column linear left them; the partial results are added up. */
export function createRowLinear(loader: WeightLoader, options: ShardedLinearOptions): Linear {
  const { communicator } = loader
  if (communicator.size === 1) return createReplicatedLinear(loader, options)
  const { inFeatures, prefix, share } = options
  const cols = share ?? shardRange(inFeatures, communicator, { name: prefix })
  const { loaded, bias } = load(loader, options, { cols })
  // One rank adds it, or the sum over the ranks would hold it several times.
  const own = communicator.rank === 0 ? bias : null
  return { forward: (x, context) => communicator.allReduce(loaded.apply(x, own, context)) }
}

export interface MergedLinearOptions {
  /** Tensors whose rows are put one under the other: one per part, or a single one that holds all parts. */
  readonly tensors: readonly { readonly prefix: string; readonly outFeatures: number }[]
  /** Per part: which rows of the stack this rank takes. */
  readonly parts: readonly RowRange[]
  readonly inFeatures: number
  readonly hasBias: boolean
}

/** Layers of one input as one multiplication, where their method can load them as one weight, else side by side. */
export function createMergedLinear(loader: WeightLoader, options: MergedLinearOptions): MergedLinear {
  const { tensors, parts, inFeatures, hasBias } = options
  const widths = parts.map(({ start, end }) => end - start)
  const total = tensors.reduce((sum, { outFeatures }) => sum + outFeatures, 0)
  const bias = hasBias ? stackedBias(loader, options) : null
  const names = tensors.map(({ prefix }) => `${prefix}.weight`)
  const methods = tensors.map(({ prefix }) => loader.linearMethods(prefix, 'linear'))
  const method = methods[0]
  assert(method !== undefined, 'a merged layer has tensors')
  if (methods.every((other) => other === method) && method.canMerge(loader, names)) {
    const loaded = method.load(loader, { names, expectedShape: [total, inFeatures], rows: parts })
    const tensor = bias === null ? null : loader.tensor(bias)
    const partsOptions = { bias: tensor, widths }
    return {
      forward: (x, context) => loaded.apply(x, tensor, context),
      forwardParts: (x, context) => loaded.applyParts(x, partsOptions, context),
      forwardGated: (x, kind, context) => loaded.applyGated(x, { bias: tensor, kind }, context),
    }
  }
  let from = 0
  let done = 0
  const layers = tensors.map(({ prefix, outFeatures }, i): Linear => {
    const own = tensors.length === 1 ? parts : parts.slice(i, i + 1)
    const rows = own.map(({ start, end }) => ({ start: start - from, end: end - from }))
    from += outFeatures
    const loaded = methods[i]!.load(loader, {
      names: [`${prefix}.weight`],
      expectedShape: [outFeatures, inFeatures],
      rows,
    })
    const width = own.reduce((sum, { start, end }) => sum + end - start, 0)
    const tensor = bias === null ? null : loader.tensor(bias.slice(done, done + width))
    done += width
    return { forward: (x, context) => loaded.apply(x, tensor, context) }
  })
  return sideBySide(layers, widths)
}

export interface QkvLinearOptions {
  /** Three tensors, or one with all rows in the order q, k, v. */
  readonly prefixes: { readonly q: string; readonly k: string; readonly v: string } | { readonly qkv: string }
  readonly hiddenSize: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly hasBias: boolean
}

/** `forwardParts` gives queries `[n, numHeads * headDim]`, keys and values `[n, numKvHeads * headDim]` of this rank. */
export function createQkvLinear(loader: WeightLoader, options: QkvLinearOptions): MergedLinear {
  const { prefixes, numHeads, numKvHeads, headDim } = options
  const share = shareHeads(options, loader.communicator)
  const heads = (offset: number, first: number, count: number): RowRange => ({
    start: (offset + first) * headDim,
    end: (offset + first + count) * headDim,
  })
  const kvFeatures = numKvHeads * headDim
  const tensors =
    'qkv' in prefixes
      ? [{ prefix: prefixes.qkv, outFeatures: numHeads * headDim + 2 * kvFeatures }]
      : [
          { prefix: prefixes.q, outFeatures: numHeads * headDim },
          { prefix: prefixes.k, outFeatures: kvFeatures },
          { prefix: prefixes.v, outFeatures: kvFeatures },
        ]
  return createMergedLinear(loader, {
    ...options,
    tensors,
    inFeatures: options.hiddenSize,
    parts: [
      heads(0, share.firstHead, share.numHeads),
      heads(numHeads, share.firstKvHead, share.numKvHeads),
      heads(numHeads + numKvHeads, share.firstKvHead, share.numKvHeads),
    ],
  })
}

function load(
  loader: WeightLoader,
  options: LinearOptions,
  { rows, cols }: Pick<MatrixSelection, 'rows' | 'cols'>,
): { loaded: LoadedLinear; bias: Tensor1D | null } {
  const { prefix, inFeatures, outFeatures, hasBias, role = 'linear' } = options
  const loaded = loader.linearMethods(prefix, role).load(loader, {
    names: [`${prefix}.weight`],
    expectedShape: [outFeatures, inFeatures],
    ...(rows && { rows }),
    ...(cols && { cols }),
  })
  return { loaded, bias: hasBias ? loader.vector(`${prefix}.bias`, outFeatures, rows) : null }
}

/** What one product would give, cut the same way, of layers that have a part each or, where it is one, all parts. */
function sideBySide(layers: readonly Linear[], widths: readonly number[]): MergedLinear {
  const forward: Linear['forward'] = (x, context) => {
    const products = layers.map((layer) => layer.forward(x, context))
    return products.length === 1 ? products[0]! : concat(products, 1)
  }
  return {
    forward,
    forwardParts: (x, context) =>
      layers.length === widths.length
        ? layers.map((layer) => layer.forward(x, context))
        : split(forward(x, context), [...widths], 1),
    forwardGated: (x, kind, context) => gatedActivation(forward(x, context), kind),
  }
}

function stackedBias(loader: WeightLoader, { tensors, parts }: MergedLinearOptions): Float32Array {
  const all: number[] = []
  for (const { prefix, outFeatures } of tensors) {
    for (const value of loader.hostVector(`${prefix}.bias`, outFeatures)) all.push(value)
  }
  return Float32Array.from(parts.flatMap(({ start, end }) => all.slice(start, end)))
}
