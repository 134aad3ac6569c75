/** Every option of the engine does what it says, seen from outside. */
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import type { EngineOptions } from '../config/engine-options.ts'
import { BackendUnavailableError, InvalidConfigError, ModelNotFoundError } from '../errors.ts'
import { defaultSamplingParams } from '../sampling-params.ts'
import { loadFrontModel, locateModel } from './front-model.ts'
import { LLM } from './llm.ts'

type Options = Omit<EngineOptions, 'model'>

const models = fileURLToPath(new URL('../../../../fixtures/models/', import.meta.url))
const model = `${models}llama`
const prompt = Array.from({ length: 100 }, (_, i) => 100 + i)
const oneToken = { maxTokens: 1, temperature: 0 }

/** Runs `use` on a tiny model with a small cache, unless `options` say otherwise. */
async function withLlm<T>(options: Options, use: (llm: LLM) => Promise<T>): Promise<T> {
  await using llm = await LLM.load(model, { backend: 'cpu', maxModelLen: 256, maxNumSeqs: 4, ...options })
  return await use(llm)
}

const infoOf = (options: Options) => withLlm(options, async ({ engine }) => engine.info)

/** Steps that the prompt's 100 tokens take until the first output token. */
const numStepsOf = (options: Options) =>
  withLlm(options, async (llm) => {
    await llm.generate([prompt], oneToken)
    return llm.engine.metrics().numSteps
  })

describe('engine option', () => {
  it('backend chooses where kernels run', async () => {
    expect((await infoOf({ backend: 'wasm' })).backend).toBe('wasm')
    expect((await infoOf({ backend: 'cpu' })).backend).toBe('cpu')
    await expect(infoOf({ backend: 'abacus' })).rejects.toThrow(BackendUnavailableError)
  })

  it('dtype chooses how weights are kept', async () => {
    const [float32, float16] = [await infoOf({ dtype: 'float32' }), await infoOf({ dtype: 'float16' })]
    expect(float16.weightBytes / float32.weightBytes).toBeCloseTo(0.5, 2)
  })

  it('maxModelLen beyond the model is refused before any weight is read', async () => {
    let numReads = 0
    const load = LLM.load(model, { backend: 'cpu', maxModelLen: 100_000, onLoadProgress: () => numReads++ })
    await expect(load).rejects.toThrow('maxModelLen: is 100000, but the model')
    expect(numReads).toBe(0)
  })

  it('maxModelLen, maxNumSeqs, blockSize and kvCacheMemory size the KV cache', async () => {
    const info = await infoOf({ maxModelLen: 100, maxNumSeqs: 3, blockSize: 32 })
    expect(info).toMatchObject({ maxModelLen: 100, blockSize: 32, numBlocks: 3 * 4 + 1 })
    const kvCacheMemory = 512 * 1024
    const small = await infoOf({ kvCacheMemory })
    expect(small.kvCacheBytes).toBeLessThanOrEqual(kvCacheMemory)
    expect(small.kvCacheBytes).toBeGreaterThan(kvCacheMemory - small.kvCacheBytes / small.numBlocks)
  })

  it('kvCacheDtype chooses how keys and values are kept', async () => {
    const options = { kvCacheMemory: 512 * 1024 }
    const infos = [await infoOf(options)]
    for (const kvCacheDtype of ['auto', 'bfloat16', 'int8'] as const)
      infos.push(await infoOf({ ...options, kvCacheDtype }))
    expect(infos.map(({ kvCacheDtype }) => kvCacheDtype)).toEqual(['float32', 'float32', 'bfloat16', 'int8'])
    const [float32, auto, bfloat16, int8] = infos.map(({ kvCacheBytes, numBlocks }) => kvCacheBytes / numBlocks)
    expect(auto).toBe(float32)
    expect(float32).toBe(2 * bfloat16!)
    expect(int8).toBeLessThan(bfloat16!)
    const answer = await withLlm({ kvCacheDtype: 'bfloat16' }, (llm) =>
      llm.generate([prompt], { maxTokens: 4, temperature: 0, ignoreEos: true }),
    )
    expect(answer[0]?.outputs[0]?.tokenIds).toHaveLength(4)
  })

  it('kvCacheDtype names the remedy where the backend lacks it', async () => {
    const refused = infoOf({ backend: 'wasm', kvCacheDtype: 'int8' })
    await expect(refused).rejects.toThrow(InvalidConfigError)
    await expect(refused).rejects.toThrow(/wasm backend keeps keys and values in float32 only; leave the option out/)
    expect(() => resolveEngineConfig({ model, kvCacheDtype: 'fp8' as never })).toThrow(
      /kvCacheDtype.*auto, float32, bfloat16, int8/,
    )
  })

  it('maxNumBatchedTokens and longPrefillTokenThreshold cut prompts into steps', async () => {
    expect(await numStepsOf({ maxNumBatchedTokens: 128 })).toBe(1)
    expect(await numStepsOf({ maxNumBatchedTokens: 32 })).toBe(4)
    expect(await numStepsOf({ maxNumBatchedTokens: 128, longPrefillTokenThreshold: 25 })).toBe(4)
  })

  it('enableChunkedPrefill off computes every prompt in one step', async () => {
    const options = { maxNumBatchedTokens: 256, longPrefillTokenThreshold: 25 }
    expect(await numStepsOf({ ...options, enableChunkedPrefill: true })).toBe(4)
    expect(await numStepsOf({ ...options, enableChunkedPrefill: false })).toBe(1)
    await expect(infoOf({ enableChunkedPrefill: false, maxNumBatchedTokens: 64 })).rejects.toThrow(
      /^maxNumBatchedTokens: .*256/,
    )
  })

  it('enablePrefixCaching shares equal beginnings', async () => {
    const numCachedTokens = (enablePrefixCaching: boolean) =>
      withLlm({ enablePrefixCaching }, async (llm) => {
        await llm.generate([prompt], oneToken)
        return (await llm.generate([prompt], oneToken))[0]?.numCachedTokens
      })
    expect(await numCachedTokens(true)).toBe(96)
    expect(await numCachedTokens(false)).toBe(0)
  })

  it('schedulingPolicy decides whether requests may have a priority', async () => {
    const finishReason = (schedulingPolicy: 'fcfs' | 'priority') =>
      withLlm({ schedulingPolicy }, async ({ engine }) => {
        const request = { requestId: 'a', prompt: { type: 'tokens', tokenIds: prompt }, params: oneToken } as const
        for await (const { outputs } of engine.generate({ ...request, priority: -1, outputKind: 'final' }))
          return outputs[0]?.finishReason
        return null
      })
    expect(await finishReason('priority')).toBe('length')
    await expect(finishReason('fcfs')).rejects.toThrow(/schedulingPolicy 'priority'/)
  })

  it('seed makes requests without one repeatable', async () => {
    const sample = (seed: number) =>
      withLlm({ seed }, async (llm) => {
        const outputs = await llm.generate([prompt, prompt], { maxTokens: 8, temperature: 1 })
        return outputs.map((output) => output.outputs[0]?.tokenIds)
      })
    const [first, again, other] = [await sample(7), await sample(7), await sample(8)]
    expect(again).toEqual(first)
    expect(other).not.toEqual(first)
    expect(first[0]).not.toEqual(first[1])
  })

  it('maxLogprobs caps what a request may ask for', async () => {
    const params = { ...oneToken, logprobs: 3 }
    await expect(withLlm({ maxLogprobs: 2 }, (llm) => llm.generate([prompt], params))).rejects.toThrow(/at most 2/)
    const outputs = await withLlm({ maxLogprobs: 3 }, (llm) => llm.generate([prompt], params))
    expect(outputs[0]?.outputs[0]?.logprobs?.[0]?.top).toHaveLength(3)
  })

  it('servedModelName names the model in requests', async () => {
    const ids = (options: Options) => withLlm(options, async ({ engine }) => engine.models.map(({ id }) => id))
    expect(await ids({})).toEqual([model])
    expect(await ids({ servedModelName: ['a', 'b'] })).toEqual(['a', 'b'])
  })

  it("chatTemplate replaces the checkpoint's", async () => {
    const chatTemplate = '{% for m in messages %}[{{ m.content }}]{% endfor %}'
    const [output] = await withLlm({ chatTemplate }, (llm) =>
      llm.chat([{ role: 'user', content: 'Hello!' }], { maxTokens: 1 }),
    )
    expect(output?.prompt).toBe('[Hello!]')
  })

  it('chatTemplate fails the load where it is no template', async () => {
    const load = infoOf({ chatTemplate: '{% for' })
    await expect(load).rejects.toMatchObject({ name: 'ChatTemplateError' })
  })

  it('revision names a branch, tag or commit of the hub', async () => {
    const config = resolveEngineConfig({ model: 'owner/name', revision: '../main' })
    await expect(locateModel(config.model)).rejects.toThrow(ModelNotFoundError)
    await expect(locateModel(config.model)).rejects.toThrow('"../main" is not a branch')
  })

  it("generationConfig takes the checkpoint's sampling defaults, or not", async () => {
    const defaultsWith = async (generationConfig: 'auto' | 'octavo') =>
      (await loadFrontModel(resolveEngineConfig({ model, generationConfig }), `${models}qwen2`)).defaultParams
    expect(await defaultsWith('auto')).toMatchObject({ temperature: 0.7, topP: 0.8, topK: 20, repetitionPenalty: 1.05 })
    expect(await defaultsWith('octavo')).toEqual(defaultSamplingParams)
  })
})
