import { InvalidRequestError } from '../errors.ts'
import type { GrammarSpec } from './grammar-spec.ts'
import type { GrammarThread, GrammarThreadEnd } from './grammar-thread.ts'
import type { MaskCell } from './mask-cell.ts'

/** A grammar that was asked for, and where it lives. */
export interface Grammar {
  /** Counts up, from 1. */
  readonly id: number
  readonly spec: GrammarSpec
  /** Of those who wait for it; `null` before the first, and where the pool failed and not the grammar. */
  ready: Promise<void> | null
  /** The thread that it is compiled in; `null` while there is none. */
  home: GrammarThread | null
  settling: Promise<void> | null
  /** Threads that ended while they were at it. */
  numDeaths: number
  /** For good. */
  failure: InvalidRequestError | null
  readonly matchers: Set<Matcher>
}

/** Where one sequence is in its grammar. */
export interface Matcher {
  readonly id: number
  readonly grammar: Grammar
  cell: MaskCell
  /** The thread that has it, if it still lives. */
  home: GrammarThread | null
  /** Output tokens that the thread was told. */
  numTaken: number
  asked: AskedMasks | null
  /** Of all its homes. */
  numRequests: number
  /** How long a step waits for it. */
  patienceMs: number
}

export interface AskedMasks {
  readonly request: number
  /** Of the sequence. */
  readonly numTokens: number
  readonly draftTokenIds: readonly number[]
}

export function createGrammar(id: number, spec: GrammarSpec): Grammar {
  return {
    id,
    spec,
    ready: null,
    home: null,
    settling: null,
    numDeaths: 0,
    failure: null,
    matchers: new Set(),
  }
}

/** `reason`: a sentence's end. */
export function grammarError(reason: string): InvalidRequestError {
  return new InvalidRequestError(
    ['The grammar of ', { field: 'structuredOutput' }, ` cannot be used: ${reason}.`],
    'structuredOutput',
  )
}

export function deathError({ isTimeout }: GrammarThreadEnd, limitMs: number): InvalidRequestError {
  return grammarError(
    isTimeout
      ? `it takes more than ${limitMs} ms to compile, or to tell what may come next; make it smaller, or less ambiguous`
      : 'it takes more memory or nests deeper than one may; make it smaller',
  )
}
