import { describe, expect, it } from 'vitest'
import { CheckpointError, InsufficientMemoryError, OctavoError } from './errors.ts'
import { fromTransferredError, toTransferredError } from './error-transfer.ts'

describe('errors across threads', () => {
  it.each([
    new CheckpointError('a.safetensors', 'is truncated', { tensor: 'w' }),
    new InsufficientMemoryError('too big', 5, 3),
    new TypeError('plain'),
  ])('keeps class, message and fields of %s', (error) => {
    const back = fromTransferredError(structuredClone(toTransferredError(error)))
    expect(back.message).toBe(error.message)
    expect(back.name).toBe(error.name)
    expect(OctavoError.isInstance(back)).toBe(OctavoError.isInstance(error))
    if (error instanceof OctavoError) {
      expect(back).toBeInstanceOf(error.constructor)
      expect({ ...back, name: error.name }).toEqual({ ...error })
    }
  })

  it("keeps code and fields of another package's class", () => {
    class LostRankError extends OctavoError {
      readonly rank = 3
    }
    const back = fromTransferredError(
      structuredClone(toTransferredError(new LostRankError('communication_error', 'rank 3 is lost'))),
    )
    expect(back).toBeInstanceOf(OctavoError)
    expect(back).toMatchObject({
      name: 'LostRankError',
      code: 'communication_error',
      rank: 3,
      message: 'rank 3 is lost',
    })
  })

  it('keeps causes, which may go in a circle', () => {
    const cause = new CheckpointError('a.gguf', 'is truncated')
    const back = fromTransferredError(structuredClone(toTransferredError(new TypeError('outer', { cause }))))
    expect(back.cause).toBeInstanceOf(CheckpointError)
    expect(back.cause).toMatchObject({ file: 'a.gguf' })
    const circle = new Error('round')
    circle.cause = circle
    expect(fromTransferredError(toTransferredError(circle)).cause).toMatchObject({ message: 'round' })
  })

  it('takes anything that was thrown', () => {
    expect(fromTransferredError(toTransferredError('text')).message).toBe('text')
  })
})
