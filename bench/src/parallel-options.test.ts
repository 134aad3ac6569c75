import { describe, expect, it } from 'vitest'
import { parseParallelOptions } from './parallel-options.ts'

describe('parseParallelOptions', () => {
  it('measures TinyLlama by default, and little for --smoke', () => {
    expect(parseParallelOptions([])).toMatchObject({ shape: { name: 'tinyllama-1.1b' }, numRounds: 3, hasMpi: true })
    expect(parseParallelOptions(['--smoke', '--no-mpi'])).toMatchObject({
      shape: { name: 'smoke' },
      numRounds: 1,
      hasMpi: false,
    })
  })

  it.each([
    ['--shape', 'all', '--shape takes one name, got all.'],
    ['--only', 'tp', '--only tp is not known; known are all, speed, memory, collectives.'],
    ['--rounds', '0', '--rounds must be a positive integer, got 0.'],
  ])('refuses %s %s', (flag, value, message) => {
    expect(() => parseParallelOptions([flag, value])).toThrow(message)
  })
})
