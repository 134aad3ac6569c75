import { concat, gather, slice, tensor1d, tensor2d, tidy, zeros } from '@tensorflow/tfjs-core'
import type { Rank, Tensor2D } from '@tensorflow/tfjs-core'
import type { RowRange } from '../loading/weight-source.ts'
import { routeTokens } from '../ops/moe-routing.ts'
import type { MoeRouting, MoeRoutingOptions } from '../ops/moe-routing.ts'
import type { Communicator } from './communicator.ts'
import type { ExpertBalance } from './expert-balance.ts'
import { planExchange, tokenSlice } from './expert-exchange.ts'
import type { ExpertExchange } from './expert-exchange.ts'
import { atRows } from './forward-context.ts'
import type { ForwardContext } from './forward-context.ts'
import type { Linear } from './linear.ts'
import type { Mlp } from './mlp.ts'

/** x `[n, hiddenSize]`, logits `[n, number of experts]` → `[n, hiddenSize]`. */
export type RunExperts = (x: Tensor2D, logits: Tensor2D, context: ForwardContext) => Tensor2D

/** Of rows that are for one expert each: with logits of 1 among zeros, that expert's result times 1. */
export const oneExpert: MoeRoutingOptions = { topK: 1, scoring: 'softmax_topk', renormalize: false }

export interface ExpertParallelOptions {
  readonly communicator: Communicator
  readonly balance: ExpertBalance | null
  readonly router: Linear
  readonly routing: MoeRoutingOptions
  readonly numExperts: number
  /** This rank's (`expertRange`), as `oneExpert` says. */
  readonly ownExperts: RowRange
  readonly runOwn: RunExperts
}

/**
 * A mixture of experts that lie on different ranks (GShard, Lepikhin et al. 2020, arXiv:2006.16668), all of which have all
 * tokens. Each rank routes a slice of them, sends them to the ranks that have their experts, gets results back and adds them up;
 * then the slices are joined.
 *
 * INVARIANT: a token's results are added to zeros in ascending index of experts, as on one rank, whichever slice it is in.
 */
export function createExpertParallel(options: ExpertParallelOptions): Mlp {
  const { communicator, balance, numExperts } = options
  const { topK } = options.routing
  return {
    forward: (x, context) =>
      tidy(() => {
        const numTokens = x.shape[0]
        const share = Math.ceil(numTokens / communicator.size)
        const { expertIds, weights } = routeSlice(x, options, context)
        const ids = gatherSlices(tensor2d(expertIds, [expertIds.length / topK, topK], 'float32'), share, communicator)
        const exchange = planExchange({
          rank: communicator.rank,
          size: communicator.size,
          numExperts,
          topK,
          expertIds: Int32Array.from(ids.dataSync().subarray(0, numTokens * topK)),
        })
        balance?.record(exchange.rowsPerRank)
        const results = exchangeRows(x, { ...options, exchange }, context)
        const sum = addResults(results, { places: exchange.places, weights, topK })
        return slice(gatherSlices(sum, share, communicator), [0, 0], [numTokens, x.shape[1]])
      }),
  }
}

/** The experts of this rank's slice. */
function routeSlice(
  x: Tensor2D,
  { communicator, router, routing, numExperts }: ExpertParallelOptions,
  context: ForwardContext,
): MoeRouting {
  const { start, end } = tokenSlice(x.shape[0], communicator)
  if (start === end) return { expertIds: new Int32Array(0), weights: new Float32Array(0) }
  const rows = Int32Array.from({ length: end - start }, (_, i) => start + i)
  const logits = router.forward(slice(x, [start, 0], [end - start, x.shape[1]]), atRows(context, rows))
  return routeTokens(logits.dataSync<'float32'>(), numExperts, routing)
}

/** What this rank's tokens get from all their experts, by rank, then by token, then by expert. */
function exchangeRows(
  x: Tensor2D,
  { communicator, exchange, ownExperts, runOwn }: ExpertParallelOptions & { exchange: ExpertExchange },
  context: ForwardContext,
): Tensor2D {
  const { sent, numSent, numReceived, pairRows, pairExperts, pairTokens, numPairs, numResults } = exchange
  const received = communicator.allToAll(rowsOf(x, sent), numSent, numReceived)
  const pairs = rowsOf(received, pairRows)
  if (pairRows.length === 0) return communicator.allToAll(pairs, numPairs, numResults)
  const numOwn = ownExperts.end - ownExperts.start
  const logits = new Float32Array(pairRows.length * numOwn)
  pairExperts.forEach((expert, i) => (logits[i * numOwn + expert] = 1))
  const outputs = runOwn(pairs, tensor2d(logits, [pairRows.length, numOwn]), atRows(context, pairTokens))
  return communicator.allToAll(outputs, numPairs, numResults)
}

/** On the host, where tfjs would spread each weight over its row. */
function addResults(
  results: Tensor2D,
  { places, weights, topK }: { places: Int32Array; weights: Float32Array; topK: number },
): Tensor2D {
  const width = results.shape[1]
  const values = results.dataSync<'float32'>()
  const sums = new Float32Array((places.length / topK) * width)
  places.forEach((place, choice) => {
    const [from, to] = [place * width, Math.floor(choice / topK) * width]
    const weight = weights[choice]!
    for (let i = 0; i < width; i++) sums[to + i]! += Math.fround(weight * values[from + i]!)
  })
  return tensor2d(sums, [places.length / topK, width])
}

/** Slices of up to `share` rows, which all ranks fill up to it: only behind the last row of all is more than that. */
function gatherSlices(own: Tensor2D, share: number, communicator: Communicator): Tensor2D {
  const missing = share - own.shape[0]
  return communicator.allGather(missing === 0 ? own : concat([own, zeros<Rank.R2>([missing, own.shape[1]])], 0), 0)
}

function rowsOf(x: Tensor2D, rows: Int32Array): Tensor2D {
  return rows.length === 0 ? zeros([0, x.shape[1]]) : gather(x, tensor1d(rows, 'int32'))
}
