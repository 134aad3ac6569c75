import type { RowRange } from '../loading/weight-source.ts'
import { evenBorder } from './shard.ts'

export interface ExchangeOptions {
  readonly rank: number
  readonly size: number
  readonly numExperts: number
  readonly topK: number
  /** `[numTokens, topK]`, ascending within a token. */
  readonly expertIds: Int32Array
}

/** One token for one expert. */
interface Choice {
  readonly token: number
  readonly expert: number
}

/**
 * Which rows one rank sends and gets so that every token of its slice meets its experts, on whatever ranks they are: a token
 * goes once to each rank that has some of them, and a row comes back for each expert.
 */
export interface ExpertExchange {
  /** Tokens of the batch that this rank routes. */
  readonly slice: RowRange
  /** Tokens to send, by the rank that they go to; how many to each, and how many come from each. */
  readonly sent: Int32Array
  readonly numSent: readonly number[]
  readonly numReceived: readonly number[]
  /** What this rank's experts compute, by the rank that asked: which of the rows received, for which of its own experts. */
  readonly pairRows: Int32Array
  readonly pairExperts: Int32Array
  readonly pairTokens: Int32Array
  readonly numPairs: readonly number[]
  /** How many results come back from each rank. */
  readonly numResults: readonly number[]
  /** `[slice, topK]`: which of the rows that came back is the result of each choice. */
  readonly places: Int32Array
  /** Pairs that each rank computes in all: the same on every rank. */
  readonly rowsPerRank: readonly number[]
}

/** Contiguous: only the last ranks may have fewer tokens, or none. */
export function tokenSlice(numTokens: number, { rank, size }: { rank: number; size: number }): RowRange {
  const share = Math.ceil(numTokens / size)
  return { start: Math.min(numTokens, rank * share), end: Math.min(numTokens, (rank + 1) * share) }
}

/** The experts that one rank has, whole. */
export function expertRange(numExperts: number, { rank, size }: { rank: number; size: number }): RowRange {
  return { start: evenBorder(numExperts, rank, size), end: evenBorder(numExperts, rank + 1, size) }
}

export function planExchange(options: ExchangeOptions): ExpertExchange {
  const { rank, size, expertIds, topK } = options
  const ranks = Array.from({ length: size }, (_, r) => r)
  const slices = ranks.map((r) => tokenSlice(expertIds.length / topK, { rank: r, size }))
  const experts = ranks.map((r) => expertRange(options.numExperts, { rank: r, size }))
  const slice = slices[rank]!
  const own = experts[rank]!
  const toSend = ranks.map((r) => choicesIn(options, slice, experts[r]!))
  const asked = ranks.map((r) => choicesIn(options, slices[r]!, own))
  const pairs = asked.flat()
  const received = asked.map(tokensOf)
  const firstRow = new Map(received.flat().map((token, row) => [token, row]))
  const firstPlace = new Map(
    toSend.flat().map(({ token, expert }, place) => [token * options.numExperts + expert, place]),
  )
  const sent = toSend.map(tokensOf)
  return {
    slice,
    sent: Int32Array.from(sent.flat()),
    numSent: sent.map(({ length }) => length),
    numReceived: received.map(({ length }) => length),
    pairRows: Int32Array.from(pairs, ({ token }) => firstRow.get(token)!),
    pairExperts: Int32Array.from(pairs, ({ expert }) => expert - own.start),
    pairTokens: Int32Array.from(pairs, ({ token }) => token),
    numPairs: asked.map(({ length }) => length),
    numResults: toSend.map(({ length }) => length),
    places: Int32Array.from({ length: (slice.end - slice.start) * topK }, (_, i) => {
      const choice = slice.start * topK + i
      return firstPlace.get(Math.floor(choice / topK) * options.numExperts + expertIds[choice]!)!
    }),
    rowsPerRank: experts.map((range) =>
      expertIds.reduce((n, id) => n + (id >= range.start && id < range.end ? 1 : 0), 0),
    ),
  }
}

/** By token, then by expert. */
function choicesIn({ expertIds, topK }: ExchangeOptions, tokens: RowRange, experts: RowRange): Choice[] {
  const choices: Choice[] = []
  for (let i = tokens.start * topK; i < tokens.end * topK; i++) {
    const expert = expertIds[i]!
    if (expert >= experts.start && expert < experts.end) choices.push({ token: Math.floor(i / topK), expert })
  }
  return choices
}

/** Each once. */
function tokensOf(choices: readonly Choice[]): number[] {
  return [...new Set(choices.map(({ token }) => token))]
}
