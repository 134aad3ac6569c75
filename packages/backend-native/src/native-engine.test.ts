import { LLM } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { nativeBackend, nativeBackendWith } from './native-module.ts'
import { testedAddon } from './tested-isas.case.ts'

const question = [{ role: 'user', content: 'What is 47 + 35?' }] as const

describe.skipIf(testedAddon === null)('an engine thread on native', () => {
  it('takes it by itself, and two of them work side by side', async () => {
    const models = await Promise.all([
      LLM.load('octavo-tiny', { modules: [nativeBackend] }),
      LLM.load('octavo-tiny', { modules: [nativeBackendWith({ threads: 3 })] }),
    ])
    expect(models.map(({ engine }) => engine.info.backend)).toEqual(['native', 'native'])
    expect(models.map(({ engine }) => engine.info.isBatchInvariant)).toEqual([true, true])
    const answers = await Promise.all(models.map((llm) => llm.infer(question, { temperature: 0 })))
    expect(answers).toEqual(['47 + 35 = 82.', '47 + 35 = 82.'])
    await Promise.all(models.map((llm) => llm.shutdown()))
  })

  it('draws the same tokens in its kernel and, where logprobs are asked for, on the host', async () => {
    const llm = await LLM.load('octavo-tiny', { backend: 'native', modules: [nativeBackend] })
    const sampling = { temperature: 1.5, topP: 0.9, repetitionPenalty: 1.2, maxTokens: 40, ignoreEos: true, seed: 5 }
    const prompts = [[...'abcdefgh'].map((_, i) => 100 + i), [7, 8, 9]]
    const tokensWith = async (logprobs: number | null) =>
      (await llm.generate(prompts, { ...sampling, n: 2, logprobs })).map(({ outputs }) =>
        outputs.map((o) => o.tokenIds),
      )
    const drawn = await tokensWith(null)
    expect(drawn.flat(2)).toHaveLength(160)
    expect(drawn).toEqual(await tokensWith(0))
    await llm.shutdown()
  })

  it('keeps keys and values in a narrow dtype', async () => {
    const llm = await LLM.load('octavo-tiny', { backend: 'native', modules: [nativeBackend], kvCacheDtype: 'int8' })
    expect(llm.engine.info.kvCacheDtype).toBe('int8')
    expect(await llm.infer(question, { temperature: 0 })).toBe('47 + 35 = 82.')
    await llm.shutdown()
  })

  it('refuses options that it does not have', async () => {
    const modules = [{ ...nativeBackend, options: { thread: 2 } }]
    await expect(LLM.load('octavo-tiny', { backend: 'native', modules })).rejects.toThrow(/thread.*is not an option/)
  })

  it('says which module could not be loaded', async () => {
    const modules = [{ kind: 'backend' as const, name: 'native', url: 'file:///nowhere.js' }]
    await expect(LLM.load('octavo-tiny', { backend: 'native', modules })).rejects.toThrow(
      /"native" \(file:.*nowhere\.js\) could not be loaded/,
    )
    const llm = await LLM.load('octavo-tiny', { modules })
    // Core's own: tensorflow comes first where one is linked.
    expect(['tensorflow', 'wasm']).toContain(llm.engine.info.backend)
    await llm.shutdown()
  })
})
