import { engineOptionTable, flagOf, OctavoError } from '@octavo/core'
import { parallelOptionTable } from '@octavo/parallel/executor'
import { CommanderError } from 'commander'

/** A flag or argument is wrong: one line, no stack, exit code 2. */
export class UsageError extends Error {}

/** What the caller mistyped exits with 2, everything else with 1; help and version are no errors. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof UsageError) return 2
  // A port that is taken is a right value in a wrong world.
  return OctavoError.isInstance(error) && error.code === 'invalid_config' && !isSystemError(error.cause) ? 2 : 1
}

/** Our own errors say all there is to say; a stack is shown on request, and for errors that nobody foresaw. */
export function reportError(error: unknown, { withStack }: { withStack: boolean }): void {
  // Commander has printed its message already.
  if (error instanceof CommanderError) return
  const isExpected = error instanceof UsageError || OctavoError.isInstance(error) || isSystemError(error)
  const message = error instanceof Error ? withFlagNames(error) : String(error)
  process.stderr.write(`error: ${message}\n`)
  if (error instanceof Error && (withStack || !isExpected)) process.stderr.write(`${error.stack ?? ''}\n`)
}

/** `maxNumSeqs: must be …` → `--max-num-seqs: must be …`, the name under which the reader gave it. */
function withFlagNames(error: Error): string {
  if (!OctavoError.isInstance(error)) return error.message
  const { message } = error
  const option = 'option' in error && typeof error.option === 'string' ? error.option : ''
  const named =
    /^[a-z]\w*$/.test(option) && message.startsWith(`${option}:`)
      ? `${flagOf(option)}${message.slice(option.length)}`
      : message
  // In the remedy too, but there only what can be nothing else than a name.
  return named.replaceAll(/\b[a-z]+[A-Z]\w*/g, (word) =>
    Object.hasOwn(engineOptionTable, word) || Object.hasOwn(parallelOptionTable, word) ? flagOf(word) : word,
  )
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}
