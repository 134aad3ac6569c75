import {
  ChatTemplateError,
  CheckpointError,
  ContextLengthError,
  EngineDeadError,
  EngineOverloadedError,
  InvalidRequestError,
  ModelNotFoundError,
} from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { completionFieldName } from '@octavo/sdk/protocol'
import { openaiDialect } from './openai/dialect.ts'
import { toHttpError } from './to-http-error.ts'

describe('toHttpError', () => {
  it.each([
    [new InvalidRequestError([{ field: 'topP' }, ' must be a number from 0 to 1, got 3.'], 'topP'), 400, 'top_p', 400],
    [new InvalidRequestError('The prompt is empty.'), 400, null, 400],
    [new ContextLengthError(10, 5), 400, null, 'context_length_exceeded'],
    [new ChatTemplateError('Roles must alternate.'), 400, 'messages', 400],
    [new ModelNotFoundError('x', 'No model x.'), 404, 'model', 404],
    [new EngineOverloadedError('Too many.'), 503, null, 503],
    [new EngineDeadError('Killed by signal 9 in /srv/octavo.'), 500, null, 500],
    [new EngineDeadError('Killed by signal 9.', { retryAfterMs: 1500 }), 503, null, 503],
    [new CheckpointError('/srv/models/x.safetensors', 'is broken'), 500, null, 500],
    [new Error('inside'), 500, null, 500],
    ['a string', 500, null, 500],
  ] as const)('%s', (error, status, param, code) => {
    expect(toHttpError(error, completionFieldName)).toMatchObject({ status, param, code })
  })

  it("says the engine's complaint in the wire's words", () => {
    expect(
      openaiDialect.errorBody(
        toHttpError(new InvalidRequestError([{ field: 'topP' }, ' must be …'], 'topP'), completionFieldName),
      ),
    ).toEqual({
      error: { message: 'top_p must be …', type: 'BadRequestError', param: 'top_p', code: 400 },
    })
  })

  it('knows our errors across copies of the package', () => {
    const copy = Object.assign(new Error('maxTokens must be at least 1.'), {
      [Symbol.for('octavo.error')]: true,
      code: 'invalid_request',
      param: 'maxTokens',
    })
    expect(toHttpError(copy, completionFieldName)).toMatchObject({ status: 400, param: 'max_tokens' })
  })

  it('says when an engine that is started again may be asked again', () => {
    const error = new EngineDeadError('in /srv', { retryAfterMs: 1500 })
    expect(toHttpError(error, completionFieldName).headers).toEqual({ 'retry-after': '2' })
  })

  it('keeps paths and causes of failures inside', () => {
    for (const error of [new EngineDeadError('in /srv'), new CheckpointError('/srv/x', 'y'), new Error('/srv')]) {
      expect(toHttpError(error, completionFieldName).message).not.toContain('/srv')
    }
  })
})
