import { expect } from 'vitest'
import { argmax } from './step-runner.case.ts'
import type { StepRunner, TestSequence } from './step-runner.case.ts'

/** Runs steps of a model, on one rank or several. */
export type Stepper = Pick<StepRunner, 'add' | 'release' | 'step'>

/** Largest absolute difference as a share of `scale`. */
export function errorOf(logits: Float32Array | undefined, expected: ArrayLike<number>, scale: number): number {
  expect(logits?.length).toBe(expected.length)
  return Array.from(expected, (value, i) => Math.abs(value - logits![i]!)).reduce((a, b) => Math.max(a, b), 0) / scale
}

/** Which token follows a row of logits: the largest, or the reference's where those of other prompts are to be comparable. */
export type NextToken = (logits: Float32Array, step: number) => number

/** Logits of the prompt's last position, then of each greedy step but the last; `tokens` are the largest of each. */
export function decodeAlone(
  runner: Stepper,
  ids: readonly number[],
  { numTokens, nextToken }: { numTokens: number; nextToken: NextToken },
): { tokens: number[]; logits: Float32Array[] } {
  const sequence = runner.add(ids)
  const logits: Float32Array[] = []
  while (logits.length < numTokens) {
    const row = runner.step([{ sequence, numTokens: sequence.ids.length - sequence.numComputed }], 'last')[0]!
    sequence.ids.push(nextToken(row, logits.length))
    logits.push(row)
  }
  runner.release(sequence)
  return { tokens: logits.map(argmax), logits }
}

/** Logits of the prompt's last position, then of each position of `tokens` but the last, whatever the logits would choose. */
export function decodeAlong(runner: Stepper, ids: readonly number[], tokens: readonly number[]): Float32Array[] {
  const sequence = runner.add(ids)
  const logits = tokens.map((token) => {
    const numTokens = sequence.ids.length - sequence.numComputed
    sequence.ids.push(token)
    return runner.step([{ sequence, numTokens }], 'last')[0]!
  })
  runner.release(sequence)
  return logits
}

/** All prompts in one batch, each joining a step later than the one before, cut into chunks of odd sizes. */
export function decodeTogether(
  runner: Stepper,
  prompts: readonly { readonly ids: readonly number[]; readonly nextToken: NextToken }[],
  numTokens: number,
): Float32Array[][] {
  const chunks = [7, 1, 13, 5, 29, 3]
  const sequences: TestSequence[] = prompts.map(({ ids }) => runner.add(ids))
  const logits: Float32Array[][] = prompts.map(() => [])
  for (let step = 0; logits.some((rows) => rows.length < numTokens); step++) {
    const active = sequences.flatMap((_, i) => (i <= step && logits[i]!.length < numTokens ? [i] : []))
    // The batch's order changes from step to step.
    active.push(...active.splice(0, step % active.length))
    const parts = active.map((i) => {
      const sequence = sequences[i]!
      const rest = sequence.ids.length - sequence.numComputed
      return { sequence, numTokens: Math.min(rest, chunks[(step + i) % chunks.length]!) }
    })
    const rows = runner.step(parts, 'last')
    active.forEach((i, part) => {
      const sequence = sequences[i]!
      if (sequence.numComputed < sequence.ids.length) return
      sequence.ids.push(prompts[i]!.nextToken(rows[part]!, logits[i]!.length))
      logits[i]!.push(rows[part]!)
    })
  }
  for (const sequence of sequences) runner.release(sequence)
  return logits
}
