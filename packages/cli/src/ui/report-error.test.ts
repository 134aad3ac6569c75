import { InvalidConfigError, ModelNotFoundError } from '@octavo/core'
import { CommanderError } from 'commander'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { exitCodeOf, reportError, UsageError } from './report-error.ts'

afterEach(() => vi.restoreAllMocks())

function report(error: unknown, withStack = false): string {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  reportError(error, { withStack })
  return write.mock.calls.map(([text]) => String(text)).join('')
}

describe('exitCodeOf', () => {
  it('is 2 for what the caller mistyped, 1 for the rest, 0 for help', () => {
    expect(exitCodeOf(new InvalidConfigError('blockSize', 'must be …'))).toBe(2)
    expect(exitCodeOf(new UsageError('x'))).toBe(2)
    expect(exitCodeOf(new CommanderError(1, 'commander.unknownOption', 'x'))).toBe(2)
    expect(exitCodeOf(new CommanderError(0, 'commander.helpDisplayed', 'x'))).toBe(0)
    expect(exitCodeOf(new ModelNotFoundError('x', 'not there'))).toBe(1)
    expect(exitCodeOf(new Error('x'))).toBe(1)
  })
})

describe('reportError', () => {
  it('names the flag instead of the option', () => {
    expect(report(new InvalidConfigError('maxNumSeqs', 'must be positive'))).toBe(
      'error: --max-num-seqs: must be positive\n',
    )
  })

  it('names the flags of the remedy too', () => {
    expect(report(new InvalidConfigError('seed', 'is odd with a seed; lower maxModelLen'))).toBe(
      'error: --seed: is odd with a seed; lower --max-model-len\n',
    )
  })

  it('shows a stack on request, and for errors that nobody foresaw', () => {
    expect(report(new ModelNotFoundError('x', 'not there'))).toBe('error: not there\n')
    expect(report(new ModelNotFoundError('x', 'not there'), true)).toContain('report-error.test.ts')
    expect(report(new TypeError('x is undefined'))).toContain('report-error.test.ts')
  })
})
