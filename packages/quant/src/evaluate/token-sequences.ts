import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { InvalidConfigError } from '@octavo/core'
import type { Tokenizer } from '@octavo/core/tokenizer'

/** Tokens of which those from `firstScored` on are scored, each by what stands before it. */
export interface TokenSequence {
  readonly tokenIds: Int32Array
  /** At least 1: nothing stands before the first token. */
  readonly firstScored: number
}

/** Sequences whose figures are one: a text, or the answers to a set of questions. */
export interface Corpus {
  readonly name: string
  readonly sequences: readonly TokenSequence[]
}

export interface WindowOptions {
  /** Tokens of a window at most. */
  readonly windowTokens: number
  /** By how much the next window begins later; where it is less than a window, tokens are scored behind more context. */
  readonly strideTokens: number
  /** Of the text, in all. */
  readonly maxTokens: number
}

/** @throws InvalidConfigError where the file cannot be read or has fewer than two tokens */
export function readTextCorpus(file: string, tokenizer: Pick<Tokenizer, 'encode'>, options: WindowOptions): Corpus {
  const tokenIds = Int32Array.from(tokenizer.encode(readText(file))).subarray(0, options.maxTokens)
  if (tokenIds.length < 2)
    throw new InvalidConfigError(
      'text',
      `${file} has ${tokenIds.length} tokens; a text needs at least 2, and some thousand for a figure that means something`,
    )
  return { name: basename(file), sequences: cutWindows(tokenIds, options) }
}

/** Windows over a text; every token but the first of all, and those behind the last full stride, is scored once. */
export function cutWindows(
  tokenIds: Int32Array,
  { windowTokens, strideTokens }: Omit<WindowOptions, 'maxTokens'>,
): TokenSequence[] {
  const sequences: TokenSequence[] = []
  let numScored = 1
  for (let start = 0; numScored < tokenIds.length; start += strideTokens) {
    const end = Math.min(start + windowTokens, tokenIds.length)
    // The first token of a window has nothing before it.
    const firstScored = Math.max(numScored - start, 1)
    if (start + firstScored < end) sequences.push({ tokenIds: tokenIds.subarray(start, end), firstScored })
    numScored = end
  }
  return sequences
}

/** A prompt and what a model answered, of which the answer is scored. */
export function answerSequence(promptTokenIds: readonly number[], tokenIds: readonly number[]): TokenSequence {
  return {
    tokenIds: Int32Array.from([...promptTokenIds, ...tokenIds]),
    firstScored: Math.max(1, promptTokenIds.length),
  }
}

export function numScoredTokens({ tokenIds, firstScored }: TokenSequence): number {
  return tokenIds.length - firstScored
}

function readText(file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new InvalidConfigError('text', `${file} cannot be read (${reason})`, { cause: error })
  }
}
