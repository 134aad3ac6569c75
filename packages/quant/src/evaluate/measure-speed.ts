import { randomUUID } from 'node:crypto'
import { type EngineModule, type EngineOptions, LLM } from '@octavo/core'
import { quantile } from './estimate.ts'

/** A model whose speed is measured, as plain data: it crosses to a process of its own. */
export interface SpeedJob {
  readonly model: string
  readonly backend: NonNullable<EngineOptions['backend']>
  readonly modules: readonly EngineModule[]
  /** Of the prompt whose prefill is measured, at most. */
  readonly prefillTokens: number
}

/** Tokens per second, and bytes. */
export interface SpeedFigures {
  readonly prefillTokens: number
  /** Of a prompt of `prefillTokens`, until the first token of its answer. */
  readonly prefill: number
  /** Of one sequence. */
  readonly decode1: number
  /** Of 16 sequences together. */
  readonly decode16: number
  readonly weightBytes: number
  /** Of the process with model, KV cache and engine, afterwards and at most. */
  readonly rssBytes: number
  readonly peakRssBytes: number
  readonly backend: string
}

const decodePromptTokens = 32
const decodeTokens = 32

/** In this process, which should hold no other model. */
export async function measureSpeed({ model, backend, modules, prefillTokens }: SpeedJob): Promise<SpeedFigures> {
  await using llm = await LLM.load(model, {
    backend,
    modules,
    enablePrefixCaching: false,
    maxNumSeqs: 16,
    kvCacheMemory: '30%',
  })
  const { maxModelLen, weightBytes, backend: chosen } = llm.engine.info
  const numTokens = Math.min(prefillTokens, maxModelLen - 16)
  await measurePrefill(llm, 16) // what is left for the first request
  const prefill = await measurePrefill(llm, numTokens)
  const decode1 = await measureDecode(llm, 1)
  const decode16 = await measureDecode(llm, 16)
  return {
    prefillTokens: numTokens,
    prefill,
    decode1,
    decode16,
    weightBytes,
    rssBytes: process.memoryUsage.rss(),
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    backend: chosen,
  }
}

async function measurePrefill(llm: LLM, numTokens: number): Promise<number> {
  const start = performance.now()
  await llm.generate(createPrompt(llm, numTokens, numTokens), { maxTokens: 1, ignoreEos: true, temperature: 0 })
  return (1000 * numTokens) / (performance.now() - start)
}

/** From when every sequence has its first token until the first one has its last. */
async function measureDecode(llm: LLM, numSeqs: number): Promise<number> {
  const counts = new Array<number>(numSeqs).fill(0)
  let startedAt: number | null = null
  let endedAt: number | null = null
  let counted = 0
  const take = (sequence: number, count: number): void => {
    if (startedAt !== null && endedAt === null) counted += count
    counts[sequence] = counts[sequence]! + count
    if (startedAt === null && counts.every((known) => known > 0)) startedAt = performance.now()
    else if (startedAt !== null && endedAt === null && counts[sequence] > decodeTokens) endedAt = performance.now()
  }
  const run = async (sequence: number): Promise<void> => {
    const prompt = { type: 'tokens', tokenIds: createPrompt(llm, decodePromptTokens, sequence) } as const
    const params = { maxTokens: decodeTokens + 1, ignoreEos: true, temperature: 0 }
    const request = { requestId: randomUUID(), prompt, params, outputKind: 'delta' } as const
    for await (const { outputs } of llm.engine.generate(request)) take(sequence, outputs[0]?.tokenIds.length ?? 0)
  }
  await Promise.all(counts.map((_, sequence) => run(sequence)))
  return startedAt === null || endedAt === null ? NaN : (1000 * counted) / (endedAt - startedAt)
}

/** Ids that every vocabulary has; of a small one they repeat. */
function createPrompt({ tokenizer }: LLM, length: number, seed: number): number[] {
  const special = tokenizer.specialTokenIds
  const ids = Array.from({ length: 256 }, (_, id) => id + 3).filter(
    (id) => !special.has(id) && tokenizer.idToToken(id) !== null,
  )
  return Array.from({ length }, (_, i) => ids[(seed * 31 + i * 7) % ids.length] ?? 0)
}

/** Of several rounds: the median of each rate, and the memory of the last. */
export function combineRounds(rounds: readonly SpeedFigures[]): SpeedFigures {
  const last = rounds.at(-1)
  if (last === undefined) throw new RangeError('no rounds')
  const median = (of: (round: SpeedFigures) => number): number =>
    quantile(
      rounds.map(of).sort((a, b) => a - b),
      0.5,
    )
  return {
    ...last,
    prefill: median(({ prefill }) => prefill),
    decode1: median(({ decode1 }) => decode1),
    decode16: median(({ decode16 }) => decode16),
  }
}
