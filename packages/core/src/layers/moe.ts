import { moe } from '../ops/moe.ts'
import type { MoeAttrs, MoeExpert } from '../ops/moe.ts'
import type { FusedGatedKind } from '../ops/gated-activation.ts'
import type { MoeRoutingOptions, MoeScoring } from '../ops/moe-routing.ts'
import type { RowRange } from '../loading/weight-source.ts'
import { singleRank } from './communicator.ts'
import type { Communicator } from './communicator.ts'
import { expertRange } from './expert-exchange.ts'
import { createExpertParallel, oneExpert } from './expert-parallel.ts'
import type { RunExperts } from './expert-parallel.ts'
import { createReplicatedLinear } from './linear.ts'
import type { LinearMethod, LoadedLinear } from './linear-method.ts'
import type { Mlp } from './mlp.ts'
import { forwardExperts } from './moe-experts.ts'
import type { Expert } from './moe-experts.ts'
import { shardInnerFeatures } from './shard.ts'
import type { WeightLoader } from './weight-loader.ts'

/** Where one expert's projections stand, as names up to the dot before `weight` and `bias`. */
export interface ExpertNames {
  /** Modules whose rows are, one under the other, the gate's, then the up projection's: both, or one that holds both. */
  readonly gateUp: readonly string[]
  readonly down: string
}

export interface MoeOptions {
  readonly routerPrefix: string
  readonly hasRouterBias: boolean
  readonly hasExpertBias: boolean
  /** Rows of gate and up projection alternate in the one tensor that holds both. */
  readonly isInterleaved: boolean
  readonly numExperts: number
  readonly numExpertsPerToken: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly scoring: MoeScoring
  readonly renormalize: boolean
  readonly activation: FusedGatedKind
  expert(index: number): ExpertNames
}

/**
 * A mixture of experts. Ranks split every expert's intermediate features and add up their results; with an expert communicator
 * each has some of the experts whole. Experts whose methods keep the weight as it is run in the fused kernel, others one by one.
 */
export function createMoe(loader: WeightLoader, options: MoeOptions): Mlp {
  const { routerPrefix, hasRouterBias: hasBias, numExperts, hiddenSize, scoring, renormalize } = options
  const { communicator, expertCommunicator, expertBalance: balance } = loader
  const router = createReplicatedLinear(loader, {
    prefix: routerPrefix,
    inFeatures: hiddenSize,
    outFeatures: numExperts,
    hasBias,
    role: 'router',
  })
  const routing: MoeRoutingOptions = { topK: options.numExpertsPerToken, scoring, renormalize }
  if (expertCommunicator !== null && expertCommunicator.size > 1) {
    const ownExperts = expertRange(numExperts, expertCommunicator)
    const runOwn = loadExperts(loader, options, { range: ownExperts, sharing: singleRank, routing: oneExpert })
    return createExpertParallel({
      communicator: expertCommunicator,
      balance,
      router,
      routing,
      numExperts,
      ownExperts,
      runOwn,
    })
  }
  const run = loadExperts(loader, options, { range: { start: 0, end: numExperts }, sharing: communicator, routing })
  return { forward: (x, context) => communicator.allReduce(run(x, router.forward(x, context), context)) }
}

/** The features between an expert's projections that one rank has. */
export function shardExpertFeatures(
  loader: WeightLoader,
  { numExperts, intermediateSize, expert }: Pick<MoeOptions, 'numExperts' | 'intermediateSize' | 'expert'>,
): RowRange {
  const modules = Array.from({ length: numExperts }, (_, index) => expert(index).down)
  return shardInnerFeatures(loader, { features: intermediateSize, modules, role: 'expert' })
}

interface ExpertSelection {
  /** Of all experts, those that are loaded. */
  readonly range: RowRange
  /** The ranks that have a part of each. */
  readonly sharing: Communicator
  readonly routing: MoeRoutingOptions
}

function loadExperts(
  loader: WeightLoader,
  options: MoeOptions,
  { range, sharing, routing }: ExpertSelection,
): RunExperts {
  const { numExperts, intermediateSize, activation } = options
  const names = Array.from({ length: numExperts }, (_, index) => options.expert(index))
  const isLoaded = (index: number): boolean => index >= range.start && index < range.end
  const share = sharing.size === 1 ? { start: 0, end: intermediateSize } : shardExpertFeatures(loader, options)
  const experts = names
    .filter((_, index) => isLoaded(index))
    .map((expert) => loadExpert(loader, options, { ...expert, share, sharing }))
  loader.source.skip(...names.flatMap(({ gateUp, down }, index) => (isLoaded(index) ? [] : [...gateUp, down])))
  const packed = experts.map(packedExpert)
  if (packed.every((expert) => expert !== null)) {
    const attrs: MoeAttrs = { ...routing, experts: packed, activation }
    return (x, logits) => moe(x, logits, attrs)
  }
  const attrs = { ...routing, experts: experts.map((expert) => withBiases(loader, expert)), activation }
  return (x, logits, context) => forwardExperts(x, { logits, ...attrs }, context)
}

interface LoadedExpert {
  readonly gateUp: readonly LoadedLinear[]
  readonly down: LoadedLinear
  readonly gateUpBias: Float32Array | null
  readonly downBias: Float32Array | null
}

interface ExpertToLoad extends ExpertNames {
  /** Of the intermediate features. */
  readonly share: RowRange
  readonly sharing: Communicator
}

function loadExpert(loader: WeightLoader, options: MoeOptions, expert: ExpertToLoad): LoadedExpert {
  const { hiddenSize, intermediateSize, hasExpertBias, isInterleaved } = options
  const { gateUp, down, share, sharing } = expert
  const rows = gateUpRows(intermediateSize, share, isInterleaved && gateUp.length === 1)
  const [method, ...others] = [...gateUp, down].map((module) => loader.linearMethods(module, 'expert'))
  const names = gateUp.map((module) => `${module}.weight`)
  // Parts in different formats stay apart: one weight of both would have to be float32.
  const isMerged = names.length === 1 || (others[0] === method && method!.canMerge(loader, names))
  const load = (chosen: LinearMethod, selection: Parameters<LinearMethod['load']>[1]): LoadedLinear =>
    chosen.load(loader, selection)
  const downBias = hasExpertBias ? loader.hostVector(`${down}.bias`, hiddenSize) : null
  return {
    gateUp: isMerged
      ? [load(method!, { names, expectedShape: [2 * intermediateSize, hiddenSize], rows })]
      : names.map((name, i) =>
          load(i === 0 ? method! : others[0]!, {
            names: [name],
            expectedShape: [intermediateSize, hiddenSize],
            rows: [share],
          }),
        ),
    down: load(others.at(-1)!, {
      names: [`${down}.weight`],
      expectedShape: [hiddenSize, intermediateSize],
      ...(sharing.size > 1 && { cols: share }),
    }),
    gateUpBias: hasExpertBias ? pick(gateUpBias(loader, options, gateUp), rows) : null,
    // One rank adds it, or the sum over the ranks would hold it several times.
    downBias: sharing.rank === 0 ? downBias : null,
  }
}

function gateUpBias(loader: WeightLoader, { intermediateSize }: MoeOptions, modules: readonly string[]): Float32Array {
  const length = (2 * intermediateSize) / modules.length
  return Float32Array.from(modules.flatMap((module) => [...loader.hostVector(`${module}.bias`, length)]))
}

function packedExpert({ gateUp, down, ...biases }: LoadedExpert): MoeExpert | null {
  const weights = gateUp.flatMap(({ packed }) => packed ?? [])
  return weights.length < gateUp.length || down.packed === null
    ? null
    : { gateUp: weights, down: down.packed, ...biases }
}

function withBiases(loader: WeightLoader, { gateUp, down, gateUpBias: upBias, downBias }: LoadedExpert): Expert {
  return {
    gateUp,
    down,
    gateUpBias: upBias && loader.tensor(upBias),
    downBias: downBias && loader.tensor(downBias),
  }
}

/** This rank's rows of the gate, then of the up projection. */
function gateUpRows(intermediateSize: number, { start, end }: RowRange, isInterleaved: boolean): RowRange[] {
  if (!isInterleaved) return [0, intermediateSize].map((first) => ({ start: first + start, end: first + end }))
  return [0, 1].flatMap((first) =>
    Array.from({ length: end - start }, (_, i) => {
      const row = 2 * (start + i) + first
      return { start: row, end: row + 1 }
    }),
  )
}

function pick(values: Float32Array, rows: readonly RowRange[]): Float32Array {
  return Float32Array.from(rows.flatMap(({ start, end }) => [...values.subarray(start, end)]))
}
