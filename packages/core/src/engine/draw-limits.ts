import { isAllowed, setAllowed } from '../ops/token-mask.ts'
import type { GrammarPool, MaskRow } from '../structured-output/grammar-pool.ts'
import { TokenBiases } from '../sampling/token-biases.ts'
import type { SamplingState } from '../sampling/sampling-state.ts'
import type { BatchEntry, SequenceRow } from './input-batch.ts'

/** How the next token of a row is drawn: from this state; or it is this one; or not in this step; or never. */
export type DrawLimit =
  | { readonly state: SamplingState }
  | { readonly forcedTokenId: number }
  | { readonly isLate: true }
  | { readonly error: Error }

const late: DrawLimit = { isLate: true }

/** What may be drawn in a step, where grammars and limits of thinking say so. */
export class DrawLimits {
  /** `null`: grammars are not this rank's to know. */
  readonly #pool: GrammarPool | null
  readonly #vocabSize: number
  #rows = new Map<SequenceRow, MaskRow>()

  constructor(pool: GrammarPool | null, vocabSize: number) {
    this.#pool = pool
    this.#vocabSize = vocabSize
  }

  /** Before the forward pass. `entries`: those whose next token is drawn. */
  begin(entries: readonly BatchEntry[], droppedIds: readonly string[]): void {
    if (this.#pool === null) return
    this.#pool.drop(droppedIds)
    this.#rows = new Map()
    for (const { row, draftTokenIds } of entries) {
      const { id, tokenIds, grammar: spec, numPromptTokens } = row
      if (spec !== null) this.#rows.set(row, { id, tokenIds, numPromptTokens, draftTokenIds, spec })
    }
    if (this.#rows.size > 0) this.#pool.ask([...this.#rows.values()], this.#rows.size === entries.length)
  }

  /** After it, with the row in the state of the draw: behind so many drafts. */
  at(row: SequenceRow, numDrafts: number): DrawLimit {
    const next = this.#grammarMask(row, numDrafts)
    if (next === 'late') return late
    if (next instanceof Error) return { error: next }
    const forced = row.thinking?.forcedToken(row.tokenIds, row.numPromptTokens) ?? null
    // A grammar that is past the thinking already does not go back for its end.
    if (forced !== null && (next === null || isAllowed(next, forced))) return { forcedTokenId: forced }
    row.grammarMask = next
    if (next === null || row.tokenIds.length - row.numPromptTokens >= row.params.minTokens) return { state: row }
    return { state: this.#canOnlyEnd(row, next) ? this.#withoutMinTokens(row) : row }
  }

  #grammarMask(row: SequenceRow, numDrafts: number): Int32Array | null | 'late' | Error {
    const asked = this.#rows.get(row)
    if (asked === undefined || this.#pool === null) return null
    const next = this.#pool.next(asked, numDrafts)
    return next === 'anything' ? null : next
  }

  #canOnlyEnd({ grammar }: SequenceRow, mask: Int32Array): boolean {
    const left = mask.slice()
    for (const id of grammar?.stopTokenIds ?? []) setAllowed(left, id, false)
    return left.every((word) => word === 0)
  }

  /** What ends the sequence is banned while it is short, but here nothing else may come. */
  #withoutMinTokens(row: SequenceRow): SamplingState {
    const { tokenIds, numPromptTokens, counts, allowedMask, grammarMask, eosTokenIds } = row
    const params = { ...row.params, minTokens: 0 }
    const biases = new TokenBiases({ params, eosTokenIds, vocabSize: this.#vocabSize })
    return { params, tokenIds, numPromptTokens, counts, biases, allowedMask, grammarMask }
  }
}
