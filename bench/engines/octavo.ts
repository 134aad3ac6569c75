import { nativeBackend } from '@octavo/backend-native'
import { LLM } from '@octavo/core'
import type { BenchEngine, BenchRequest, EngineOptions } from '../src/bench-engine.ts'

/** Octavo in this process, as `npm start` sets it up, without the prefix cache: prompts share nothing. */
export async function createEngine({ modelPath, threads }: EngineOptions): Promise<BenchEngine> {
  process.env['OCTAVO_THREADS'] = String(threads)
  const backend = process.env['BENCH_BACKEND']
  const llm = await LLM.load(modelPath, {
    modules: [nativeBackend],
    maxModelLen: 2304,
    maxNumSeqs: 32,
    enablePrefixCaching: false,
    kvCacheMemory: '512MiB',
    ...(backend !== undefined && { backend }),
  })
  return serveBench(llm)
}

export function serveBench(llm: LLM): BenchEngine {
  async function generate({ prompt, numTokens, onTokens, signal }: BenchRequest): Promise<void> {
    const params = { maxTokens: numTokens, temperature: 0, ignoreEos: true }
    for await (const { outputs } of llm.generateStream(prompt, params, { signal })) {
      const count = outputs[0]?.tokenIds.length ?? 0
      if (count > 0) onTokens(count)
    }
  }

  return {
    description: `Octavo, backend ${llm.engine.info.backend}`,
    prepare: async () => {},
    generateAll: async (prompts, numTokens, onTokens) => {
      const { signal } = new AbortController()
      await Promise.all(
        prompts.map((prompt, i) => generate({ prompt, numTokens, onTokens: (count) => onTokens(i, count), signal })),
      )
    },
    generate,
    shutdown: () => llm.shutdown(),
  }
}
