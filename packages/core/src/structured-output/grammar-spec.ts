import { createHash } from 'node:crypto'
import type { SamplingParams } from '../sampling-params.ts'

/** What is compiled. */
export interface GrammarSpec {
  /** As `SamplingParams.grammar`. */
  readonly grammar: string
  /** What may come once the grammar is complete, and never before; ascending. */
  readonly stopTokenIds: readonly number[]
}

/** Of a sequence; `null` if it has no grammar. */
export function grammarSpecOf(
  { grammar, stopTokenIds }: Pick<SamplingParams, 'grammar' | 'stopTokenIds'>,
  eosTokenIds: readonly number[],
): GrammarSpec | null {
  if (grammar === null) return null
  return { grammar, stopTokenIds: [...new Set([...eosTokenIds, ...stopTokenIds])].sort((a, b) => a - b) }
}

export function grammarKey({ grammar, stopTokenIds }: GrammarSpec): string {
  return createHash('sha256').update(grammar).update(`\0${stopTokenIds.join()}`).digest('base64')
}
