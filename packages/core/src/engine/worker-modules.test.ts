import { describe, expect, it } from 'vitest'
import { singleRank } from '../layers/communicator.ts'
import { type LinearMethods, unquantized, unquantizedMethods } from '../layers/linear-method.ts'
import type { LogitsProcessor } from '../sampling/logits-processor.ts'
import { TokenSampler } from '../sampling/sampler.ts'
import {
  composeLinearMethods,
  composeSampler,
  type LinearMethodsContext,
  type LogitsProcessorsContext,
  type SamplerContext,
} from './worker-modules.ts'

const context = { config: {}, hfConfig: {}, modelPath: 'm' } as LogitsProcessorsContext
const none = { apply() {} } satisfies LogitsProcessor

describe('composeLinearMethods', () => {
  it('gives every module the methods of the one before it', () => {
    const given: LinearMethods[] = []
    const made: LinearMethods[] = [() => unquantized, () => unquantized]
    const linearMethods = made.map((methods) => (inner: LinearMethodsContext) => {
      given.push(inner.linearMethods)
      return methods
    })
    const stored = { ...context, communicator: singleRank, linearMethods: unquantizedMethods }
    expect(composeLinearMethods({ linearMethods }, stored)).toBe(made[1])
    expect(given).toEqual([unquantizedMethods, made[0]])
    expect(composeLinearMethods({}, stored)).toBe(unquantizedMethods)
  })
})

describe('composeSampler', () => {
  it('hands a sampler the logits processors in the order of their modules', () => {
    const processors: LogitsProcessor[] = [{ ...none }, { ...none }, { ...none }]
    let seen: SamplerContext | null = null
    const sampler = new TokenSampler()
    const modules = {
      logitsProcessors: [() => processors.slice(0, 2), () => processors.slice(2)],
      createSampler(given: SamplerContext) {
        seen = given
        return sampler
      },
    }
    expect(composeSampler(modules, context)).toBe(sampler)
    expect(seen).toEqual({ ...context, logitsProcessors: processors })
    expect(composeSampler({}, context)).toBeInstanceOf(TokenSampler)
  })
})
