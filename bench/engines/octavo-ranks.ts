import { nativeBackend } from '@octavo/backend-native'
import { LLM } from '@octavo/core'
import type { BenchEngine, EngineOptions } from '../src/bench-engine.ts'
import { serveBench } from './octavo.ts'

/** Octavo on ranks, or on one, with probes that log every step; all ranks together have `threads` threads. */
export async function createEngine({ modelPath, threads, ranks }: EngineOptions): Promise<BenchEngine> {
  if (ranks === undefined) throw new Error('octavo-ranks needs the option ranks.')
  const { parallel, folder, maxNumBatchedTokens } = ranks
  const numRanks = parallel === null ? 1 : (parallel.tp ?? 1) * (parallel.pp ?? 1)
  process.env['OCTAVO_THREADS'] = String(Math.max(1, Math.floor(threads / numRanks)))
  const module = (name: string): string => new URL(`../src/${name}.ts`, import.meta.url).href
  const llm = await LLM.load(modelPath, {
    modules: [
      nativeBackend,
      { kind: 'linear-methods', name: 'rank-probe', url: module('rank-probe'), options: { folder } },
      ...(parallel === null
        ? []
        : [
            {
              kind: 'executor',
              name: 'probed',
              url: module('probed-executor'),
              options: { folder, parallel },
            } as const,
          ]),
    ],
    maxModelLen: 2304,
    maxNumSeqs: 32,
    ...(maxNumBatchedTokens !== null && { maxNumBatchedTokens }),
    enablePrefixCaching: false,
    kvCacheMemory: '512MiB',
  })
  return serveBench(llm)
}
