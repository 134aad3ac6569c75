/**
 * How much of the KV cache's memory in use holds no token, on a mixed workload: `npm run bench -- kv-waste`.
 *
 * 100 requests of the embedded model arrive over time: chats that share a system prompt, long documents, short questions,
 * several samples of one prompt. After every step: slots of the blocks in use that no token fills, over all slots in use.
 * For comparison, what a contiguous cache would waste that reserves each request its longest possible length
 * (prompt + max_tokens, and the whole context).
 */
import { LLM, type RequestOutput } from '@octavo/core'
import { createRandom } from './src/random.ts'

const blockSize = 16
const numRequests = 100

const random = createRandom(20_261_122)
const between = (min: number, max: number): number => min + Math.floor(random() * (max - min))
const tokens = (count: number): number[] => Array.from({ length: count }, () => between(100, 2500))
const systemPrompt = tokens(120)

interface Workload {
  readonly prompt: number[]
  readonly maxTokens: number
  readonly numOutputTokens: number
  readonly n: number
}

function createWorkload(): Workload {
  const kind = random()
  if (kind < 0.4)
    return {
      prompt: [...systemPrompt, ...tokens(between(40, 300))],
      maxTokens: 400,
      numOutputTokens: between(60, 300),
      n: 1,
    }
  if (kind < 0.6) return { prompt: tokens(between(500, 800)), maxTokens: 200, numOutputTokens: between(40, 150), n: 1 }
  if (kind < 0.8) return { prompt: tokens(between(100, 250)), maxTokens: 400, numOutputTokens: between(150, 400), n: 1 }
  return {
    prompt: [...systemPrompt, ...tokens(between(80, 200))],
    maxTokens: 300,
    numOutputTokens: between(100, 250),
    n: 3,
  }
}

await using llm = await LLM.load('octavo-tiny', { maxNumSeqs: 32, blockSize })
const maxModelLen = llm.engine.models[0]!.maxModelLen
let [unfilled, inUse, numSamples, peakUsage] = [0, 0, 0, 0]
let [reserved, reservedContext, filled] = [0, 0, 0]

function sample(): void {
  const { kvCacheUsage, numKvBlocks, numUnfilledKvSlots, numRunningSeqs } = llm.engine.metrics()
  if (numRunningSeqs === 0) return
  unfilled += numUnfilledKvSlots
  inUse += kvCacheUsage * (numKvBlocks - 1) * blockSize
  peakUsage = Math.max(peakUsage, kvCacheUsage)
  numSamples++
}

async function run({ prompt, maxTokens, numOutputTokens, n }: Workload): Promise<void> {
  const requestId = String(reserved + Math.random())
  const params = { maxTokens: numOutputTokens, ignoreEos: true, n, temperature: 1, seed: 1 }
  let last: RequestOutput | null = null
  for await (const output of llm.engine.generate({ requestId, prompt: { type: 'tokens', tokenIds: prompt }, params })) {
    last = output
    sample()
  }
  for (const { tokenIds } of last?.outputs ?? []) {
    filled += prompt.length + tokenIds.length
    reserved += prompt.length + maxTokens
    reservedContext += maxModelLen
  }
}

const running: Promise<void>[] = []
for (let i = 0; i < numRequests; i++) {
  running.push(run(createWorkload()))
  await new Promise((resolve) => setTimeout(resolve, -Math.log(random()) * 40))
}
await Promise.all(running)

const percent = (ratio: number): string => `${(100 * ratio).toFixed(2)} %`
console.log(
  `${numRequests} requests, ${numSamples} samples, block size ${blockSize}, at most ${percent(peakUsage)} of the cache in use`,
)
console.log('| KV cache | memory in use that holds no token |')
console.log('|---|---|')
console.log(`| Octavo, blocks of ${blockSize} | ${percent(unfilled / inUse)} |`)
console.log(`| contiguous, prompt + max_tokens reserved | ${percent(1 - filled / reserved)} |`)
console.log(`| contiguous, the whole context reserved | ${percent(1 - filled / reservedContext)} |`)
if (unfilled / inUse >= 0.04) process.exitCode = 1
