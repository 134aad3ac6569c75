import { bootstrapMean, type Cluster, type Estimate, quantile, wilsonEstimate } from './estimate.ts'

/** How two distributions over the same vocabulary differ at one token. */
export interface TokenDivergence {
  /** KL(original ‖ model), in nats. */
  readonly kl: number
  readonly isSameTop: boolean
  /** −ln p of the token that follows, of the original and of the model. */
  readonly originalLoss: number
  readonly loss: number
}

/** From one row of logits of each; float64 inside. NaN where a row has no distribution. */
export function tokenDivergence(original: Float32Array, model: Float32Array, target: number): TokenDivergence {
  const [topP, topQ] = [argmax(original), argmax(model)]
  const [maxP, maxQ] = [original[topP] ?? NaN, model[topQ] ?? NaN]
  let sumP = 0
  let sumQ = 0
  let weighted = 0
  for (let i = 0; i < original.length; i++) {
    const a = original[i]! - maxP
    const b = model[i]! - maxQ
    const p = Math.exp(a)
    sumP += p
    sumQ += Math.exp(b)
    // 0 · ∞ = 0: a token that the original never gives costs nothing.
    if (p > 0) weighted += p * (a - b)
  }
  const [logP, logQ] = [Math.log(sumP), Math.log(sumQ)]
  return {
    // Rounding may leave a little less than nothing.
    kl: Math.max(0, weighted / sumP - logP + logQ),
    isSameTop: topP === topQ,
    originalLoss: logP - (original[target]! - maxP),
    loss: logQ - (model[target]! - maxQ),
  }
}

/** −ln p of a token. */
export function tokenLoss(logits: Float32Array, target: number): number {
  const max = logits[argmax(logits)] ?? NaN
  let sum = 0
  for (const value of logits) sum += Math.exp(value - max)
  return Math.log(sum) - (logits[target]! - max)
}

function argmax(values: Float32Array): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i
  return best
}

export interface HistogramBin {
  readonly low: number
  readonly high: number
  readonly count: number
}

/** Of all scored tokens of a corpus. */
export interface DivergenceSummary {
  readonly numTokens: number
  readonly mean: Estimate
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Share of tokens at which both have the same most likely one. */
  readonly top1Agreement: Estimate
  readonly histogram: readonly HistogramBin[]
}

/** Collects a corpus token by token; a sequence's tokens are one cluster. */
export class DivergenceCollector {
  readonly #values: number[] = []
  readonly #clusters: Cluster[] = []
  readonly #losses: Cluster[] = []
  readonly #lossDifferences: Cluster[] = []
  #numSameTop = 0

  addSequence(tokens: readonly TokenDivergence[]): void {
    const sumOf = (of: (token: TokenDivergence) => number): Cluster => ({
      sum: tokens.reduce((sum, token) => sum + of(token), 0),
      count: tokens.length,
    })
    for (const { kl, isSameTop } of tokens) {
      this.#values.push(kl)
      if (isSameTop) this.#numSameTop++
    }
    this.#clusters.push(sumOf(({ kl }) => kl))
    this.#losses.push(sumOf(({ loss }) => loss))
    this.#lossDifferences.push(sumOf(({ loss, originalLoss }) => loss - originalLoss))
  }

  /** Mean loss, and how much more it is than the original's, token by token. */
  losses(seed: number): { readonly loss: Estimate; readonly difference: Estimate } {
    return { loss: bootstrapMean(this.#losses, seed), difference: bootstrapMean(this.#lossDifferences, seed) }
  }

  summarize(seed: number): DivergenceSummary {
    const sorted = Float64Array.from(this.#values).sort()
    return {
      numTokens: sorted.length,
      mean: bootstrapMean(this.#clusters, seed),
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      max: sorted.at(-1) ?? NaN,
      top1Agreement: wilsonEstimate(this.#numSameTop, sorted.length),
      histogram: logHistogram(sorted),
    }
  }
}

const lowestDecade = -8
const highestDecade = 2
const binsPerDecade = 4

/** Bins of equal width in the logarithm; what is below them is in the first, what is above in the last. */
export function logHistogram(values: ArrayLike<number>): HistogramBin[] {
  const numBins = (highestDecade - lowestDecade) * binsPerDecade
  const counts = new Array<number>(numBins).fill(0)
  for (let i = 0; i < values.length; i++) {
    const bin = Math.floor((Math.log10(values[i]!) - lowestDecade) * binsPerDecade)
    const index = Math.min(Math.max(bin, 0), numBins - 1)
    counts[index] = counts[index]! + 1
  }
  const edge = (bin: number): number => 10 ** (lowestDecade + bin / binsPerDecade)
  return counts.map((count, bin) => ({ low: edge(bin), high: edge(bin + 1), count }))
}
