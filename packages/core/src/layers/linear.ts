import { add, concat } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import { InvalidConfigError } from '../errors.ts'
import type { RowRange } from '../loading/weight-source.ts'
import { gatedActivation } from '../ops/gated-activation.ts'
import type { GatedActivationKind } from '../ops/gated-activation.ts'
import { assert } from '../util/assert.ts'
import type { Communicator } from './communicator.ts'
import { unquantized } from './linear-method.ts'
import type { LinearMethod, LoadedLinear } from './linear-method.ts'
import type { WeightLoader } from './weight-loader.ts'

/** Tensor-parallel linear layers (Shoeybi et al. 2019, arXiv:1909.08053). With one rank all of them are the same. */
export interface Linear {
  /** x `[n, inFeatures]` → `[n, outFeatures]`, of this rank's share where the layer is sharded. */
  forward(x: Tensor2D): Tensor2D
}

/** Several layers on the same input. */
export interface MergedLinear extends Linear {
  /** One tensor per part. */
  forwardParts(x: Tensor2D): Tensor2D[]
  /** Of a gate and an up projection: `act(gate(x)) * up(x)`. */
  forwardGated(x: Tensor2D, kind: GatedActivationKind): Tensor2D
}

export interface LinearOptions {
  /** The tensor's name up to the dot before `weight` and `bias`. */
  readonly prefix: string
  readonly inFeatures: number
  readonly outFeatures: number
  readonly hasBias: boolean
  /** GPT-2's Conv1D: stored `[in, out]`. Default false. */
  readonly isTransposed?: boolean
  /** Default: unquantized. */
  readonly method?: LinearMethod
}

/** The whole weight on every rank. */
export function createReplicatedLinear(loader: WeightLoader, options: LinearOptions): Linear {
  const { loaded, bias } = load(loader, options, {})
  return { forward: (x) => loaded.apply(x, bias) }
}

/** Output features are split over the ranks; each returns its own. */
export function createColumnLinear(loader: WeightLoader, options: LinearOptions): Linear {
  const { loaded, bias } = load(loader, options, {
    rows: shardRange(options.outFeatures, loader.communicator, options.prefix),
  })
  return { forward: (x) => loaded.apply(x, bias) }
}

/** Input features are split over the ranks, as a column linear left them; the partial results are added up. */
export function createRowLinear(loader: WeightLoader, options: LinearOptions): Linear {
  const { communicator } = loader
  const { loaded, bias } = load(loader, options, { cols: shardRange(options.inFeatures, communicator, options.prefix) })
  if (communicator.size === 1) return { forward: (x) => loaded.apply(x, bias) }
  return {
    forward(x) {
      const sum = communicator.allReduce(loaded.apply(x, null))
      return bias === null ? sum : add<Tensor2D>(sum, bias)
    },
  }
}

/** The features `[rank * n / size, (rank + 1) * n / size)` that one rank holds. */
export function shardRange(
  features: number,
  { rank, size }: Pick<Communicator, 'rank' | 'size'>,
  name: string,
): RowRange {
  if (features % size !== 0) {
    throw new InvalidConfigError(
      'tensorParallelSize',
      `${size} ranks cannot share the ${features} features of ${name} evenly`,
    )
  }
  const share = features / size
  return { start: rank * share, end: (rank + 1) * share }
}

export interface MergedLinearOptions {
  /** Tensors whose rows are put one under the other: one per part, or a single one that holds all parts. */
  readonly tensors: readonly { readonly prefix: string; readonly outFeatures: number }[]
  /** Per part: which rows of the stack this rank takes. */
  readonly parts: readonly RowRange[]
  readonly inFeatures: number
  readonly hasBias: boolean
  readonly isTransposed?: boolean
  readonly method?: LinearMethod
}

/** Layers of one input as one multiplication, where their weights are stored alike, else side by side. */
export function createMergedLinear(loader: WeightLoader, options: MergedLinearOptions): MergedLinear {
  const { tensors, parts, inFeatures, hasBias, isTransposed = false, method = unquantized } = options
  const widths = parts.map(({ start, end }) => end - start)
  const total = tensors.reduce((sum, { outFeatures }) => sum + outFeatures, 0)
  const bias = hasBias ? stackedBias(loader, options) : null
  const prefixes = tensors.map(({ prefix }) => prefix)
  if (loader.canStack(prefixes.map((prefix) => `${prefix}.weight`))) {
    const loaded = method.load(loader, {
      prefixes,
      shape: [total, inFeatures],
      isTransposed,
      rowOrder: rowOrder(parts, total),
      cols: null,
    })
    const tensor = bias === null ? null : loader.tensor(bias)
    return {
      forward: (x) => loaded.apply(x, tensor),
      forwardParts: (x) => loaded.applyParts(x, tensor, widths),
      forwardGated: (x, kind) => loaded.applyGated(x, tensor, kind),
    }
  }
  let from = 0
  const layers = tensors.map(({ prefix, outFeatures }, i) => {
    const part = parts[i]
    assert(part !== undefined, 'weights that stay apart have one tensor per part')
    const first = widths.slice(0, i).reduce((sum, width) => sum + width, 0)
    const rows = { start: part.start - from, end: part.end - from }
    from += outFeatures
    const loaded = method.load(loader, {
      prefixes: [prefix],
      shape: [outFeatures, inFeatures],
      isTransposed,
      rowOrder: rowOrder([rows], outFeatures),
      cols: null,
    })
    const tensor = bias === null ? null : loader.tensor(bias.slice(first, first + rows.end - rows.start))
    return (x: Tensor2D) => loaded.apply(x, tensor)
  })
  const forwardParts = (x: Tensor2D): Tensor2D[] => layers.map((layer) => layer(x))
  const forward = (x: Tensor2D): Tensor2D => concat(forwardParts(x), 1)
  return { forward, forwardParts, forwardGated: (x, kind) => gatedActivation(forward(x), kind) }
}

export interface QkvLinearOptions {
  /** Three tensors, or one with all rows in the order q, k, v. */
  readonly prefixes: { readonly q: string; readonly k: string; readonly v: string } | { readonly qkv: string }
  readonly hiddenSize: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly hasBias: boolean
  readonly isTransposed?: boolean
}

/** Heads that one rank computes. With more ranks than key/value heads, each of these is held by several ranks. */
export interface HeadShare {
  readonly numHeads: number
  readonly numKvHeads: number
  readonly firstHead: number
  readonly firstKvHead: number
}

export function shareHeads(
  heads: { numHeads: number; numKvHeads: number },
  { rank, size }: Pick<Communicator, 'rank' | 'size'>,
): HeadShare {
  const { numHeads, numKvHeads } = heads
  if (numHeads % size !== 0 || (numKvHeads % size !== 0 && size % numKvHeads !== 0)) {
    throw new InvalidConfigError(
      'tensorParallelSize',
      `${size} ranks cannot share ${numHeads} query and ${numKvHeads} key/value heads evenly`,
    )
  }
  return {
    numHeads: numHeads / size,
    numKvHeads: Math.max(1, numKvHeads / size),
    firstHead: (rank * numHeads) / size,
    firstKvHead: Math.floor((rank * numKvHeads) / size),
  }
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

interface Selection {
  readonly rows?: RowRange
  readonly cols?: RowRange
}

function load(
  loader: WeightLoader,
  options: LinearOptions,
  { rows, cols }: Selection,
): { loaded: LoadedLinear; bias: Tensor1D | null } {
  const { prefix, inFeatures, outFeatures, hasBias, isTransposed = false, method = unquantized } = options
  const loaded = method.load(loader, {
    prefixes: [prefix],
    shape: [outFeatures, inFeatures],
    isTransposed,
    rowOrder: rows === undefined ? null : rowOrder([rows], outFeatures),
    cols: cols === undefined || loader.communicator.size === 1 ? null : cols,
  })
  return {
    loaded,
    bias: hasBias ? loader.vector(`${prefix}.bias`, outFeatures, rows === undefined ? undefined : [rows]) : null,
  }
}

function stackedBias(loader: WeightLoader, { tensors, parts }: MergedLinearOptions): Float32Array {
  const all: number[] = []
  for (const { prefix, outFeatures } of tensors) {
    for (const value of loader.hostVector(`${prefix}.bias`, outFeatures)) all.push(value)
  }
  return Float32Array.from(parts.flatMap(({ start, end }) => all.slice(start, end)))
}

/** `null` where the ranges are the whole stack in order: then rows go from the file to the backend in one piece. */
function rowOrder(ranges: readonly RowRange[], total: number): Int32Array | null {
  const order: number[] = []
  for (const { start, end } of ranges) for (let row = start; row < end; row++) order.push(row)
  return order.length === total && order.every((row, i) => row === i) ? null : Int32Array.from(order)
}
