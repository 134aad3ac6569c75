/** One measurement of Octavo, in a process of its own: MODEL_PATH THREADS → one line of JSON. */
import { readFileSync } from 'node:fs'
import { nativeBackend } from '@octavo/backend-native'
import { LLM } from '@octavo/core'

interface Plan {
  readonly prefill: readonly number[]
  readonly decode: readonly number[]
  readonly promptLength: number
  readonly numTokens: number
}

const [modelPath = '', threads = '2'] = process.argv.slice(2)
process.env['OCTAVO_THREADS'] = threads
const plan = JSON.parse(process.env['BENCH_PLAN'] ?? '{}') as Plan
const startedAt = performance.now()
const llm = await LLM.load(modelPath, {
  modules: [nativeBackend],
  maxModelLen: 2304,
  maxNumSeqs: 32,
  enablePrefixCaching: false,
  kvCacheMemory: process.env['BENCH_KV_MEMORY'] ?? '512MiB',
  ...(process.env['BENCH_DTYPE'] === 'float32' && { dtype: 'float32' }),
  ...(process.env['BENCH_BACKEND'] !== undefined && { backend: process.env['BENCH_BACKEND'] }),
})
const loadMs = performance.now() - startedAt

const prompt = (length: number, seed: number): number[] =>
  Array.from({ length }, (_, i) => 100 + ((seed * 31 + i * 7) % 2000))

async function time(prompts: number[][], maxTokens: number): Promise<number> {
  const start = performance.now()
  await llm.generate(prompts, { maxTokens, temperature: 0, ignoreEos: true })
  return performance.now() - start
}

async function prefill(length: number): Promise<number> {
  return (1000 * length) / (await time([prompt(length, length)], 1))
}

/** From when every sequence has its first token to when all have their last. */
async function decode(numSequences: number): Promise<number> {
  const prompts = Array.from({ length: numSequences }, (_, i) => prompt(plan.promptLength, i))
  const numStarted = { count: 0 }
  let startedAt = 0
  await Promise.all(
    prompts.map(async (tokens) => {
      let isFirst = true
      for await (const _ of llm.generateStream(tokens, {
        maxTokens: plan.numTokens + 1,
        temperature: 0,
        ignoreEos: true,
      })) {
        if (isFirst && ++numStarted.count === numSequences) startedAt = performance.now()
        isFirst = false
      }
    }),
  )
  return (1000 * numSequences * plan.numTokens) / (performance.now() - startedAt)
}

const result = {
  backend: llm.engine.info.backend,
  loadMs,
  prefill: {} as Record<number, number>,
  decode: {} as Record<number, number>,
  peakRssMb: 0,
}
await time([prompt(16, 1)], 2)
for (const length of plan.prefill) result.prefill[length] = await prefill(length)
for (const count of plan.decode) result.decode[count] = await decode(count)
result.peakRssMb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024
console.log(JSON.stringify(result))
await llm.shutdown()
