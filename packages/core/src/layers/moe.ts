import { moe } from '../ops/moe.ts'
import type { MoeExpert } from '../ops/moe.ts'
import type { FusedGatedKind } from '../ops/gated-activation.ts'
import type { MoeScoring } from '../ops/moe-routing.ts'
import type { RowRange } from '../loading/weight-source.ts'
import type { Mlp } from './mlp.ts'
import { createReplicatedLinear, shardRange } from './linear.ts'
import type { WeightLoader } from './weight-loader.ts'

/** Where one expert's projections stand in the checkpoint. */
export interface ExpertWeights {
  /** Tensors whose rows are, one under the other, the gate's, then the up projection's. */
  readonly gateUp: readonly string[]
  readonly down: string
  /** For stacks `[numExperts, …]`: which matrix of them; `null` for tensors of this expert alone. */
  readonly index: number | null
  /** Stored `[in, out]`. */
  readonly isTransposed: boolean
  /** Rows of gate and up projection alternate. */
  readonly isInterleaved: boolean
  /** Stacks of vectors `[numExperts, out]`. */
  readonly gateUpBias: string | null
  readonly downBias: string | null
}

export interface MoeOptions {
  readonly routerPrefix: string
  readonly hasRouterBias: boolean
  readonly numExperts: number
  readonly numExpertsPerToken: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly scoring: MoeScoring
  readonly renormalize: boolean
  readonly activation: FusedGatedKind
  expert(index: number): ExpertWeights
}

/** A mixture of experts. Ranks split every expert's intermediate features and add up their results. */
export function createMoe(loader: WeightLoader, options: MoeOptions): Mlp {
  const { routerPrefix, hasRouterBias: hasBias, numExperts, hiddenSize, scoring, renormalize, activation } = options
  const { communicator } = loader
  const router = createReplicatedLinear(loader, {
    prefix: routerPrefix,
    inFeatures: hiddenSize,
    outFeatures: numExperts,
    hasBias,
  })
  const experts = Array.from({ length: numExperts }, (_, index) => loadExpert(loader, options, index))
  const attrs = { experts, topK: options.numExpertsPerToken, scoring, renormalize, activation }
  return { forward: (x) => communicator.allReduce(moe(x, router.forward(x), attrs)) }
}

function loadExpert(loader: WeightLoader, options: MoeOptions, expertIndex: number): MoeExpert {
  const { hiddenSize, intermediateSize, numExperts } = options
  const { gateUp, down, index, isTransposed, isInterleaved, gateUpBias, downBias } = options.expert(expertIndex)
  const { communicator } = loader
  const share = shardRange(intermediateSize, communicator, down)
  const rowOrder = gateUpRows(intermediateSize, share, isInterleaved)
  const isWhole = communicator.size === 1
  const layout = { transpose: isTransposed, ...(index === null ? {} : { matrixIndex: index }) }
  return {
    // Parts in different formats stay apart: one weight of both would have to be float32.
    gateUp: loader.canStack(gateUp)
      ? [
          loader.matrix({
            names: gateUp,
            expectedShape: [2 * intermediateSize, hiddenSize],
            ...layout,
            ...(isWhole && !isInterleaved ? {} : { rowOrder }),
          }),
        ]
      : gateUp.map((name) =>
          loader.matrix({ names: [name], expectedShape: [intermediateSize, hiddenSize], ...layout, rows: share }),
        ),
    down: loader.matrix({
      names: [down],
      expectedShape: [hiddenSize, intermediateSize],
      ...layout,
      ...(isWhole ? {} : { cols: share }),
    }),
    gateUpBias:
      gateUpBias === null
        ? null
        : pick(loader.hostRow(gateUpBias, expertIndex, [numExperts, 2 * intermediateSize]), rowOrder),
    // One rank adds it, or the sum over the ranks would hold it several times.
    downBias:
      downBias === null || communicator.rank > 0
        ? null
        : loader.hostRow(downBias, expertIndex, [numExperts, hiddenSize]),
  }
}

/** This rank's rows of the gate, then of the up projection. */
function gateUpRows(intermediateSize: number, { start, end }: RowRange, isInterleaved: boolean): Int32Array {
  const width = end - start
  return Int32Array.from({ length: 2 * width }, (_, i) => {
    const feature = start + (i % width)
    const isUp = i >= width
    if (isInterleaved) return 2 * feature + (isUp ? 1 : 0)
    return feature + (isUp ? intermediateSize : 0)
  })
}

function pick(values: Float32Array, order: Int32Array): Float32Array {
  return Float32Array.from(order, (i) => values[i]!)
}
