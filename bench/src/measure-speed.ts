import type { BenchEngine } from './bench-engine.ts'

export interface SpeedPlan {
  /** Lengths of prompts. */
  readonly prefill: readonly number[]
  /** Numbers of sequences. */
  readonly decode: readonly number[]
  readonly promptLength: number
  readonly numTokens: number
}

/** Tokens per second, by length and by number of sequences. */
export interface Speed {
  readonly prefill: Readonly<Record<string, number>>
  readonly decode: Readonly<Record<string, number>>
}

/** Every measurement of the plan, one after the other, after a short warm-up. */
export async function measureSpeed(
  engine: BenchEngine,
  plan: SpeedPlan,
  onProgress: (text: string) => void,
): Promise<Speed> {
  const speed = { prefill: {} as Record<string, number>, decode: {} as Record<string, number> }
  await measurePrefill(engine, 16)
  for (const length of plan.prefill) {
    speed.prefill[length] = await measurePrefill(engine, length)
    onProgress(`prefill ${length}: ${speed.prefill[length]?.toFixed(1)} tok/s`)
  }
  for (const count of plan.decode) {
    speed.decode[count] = await measureDecode(engine, count, plan)
    onProgress(`decode ${count}: ${speed.decode[count]?.toFixed(1)} tok/s`)
  }
  return speed
}

/** A short prompt up to the first token of its answer: what an engine leaves for the first request counts there. */
export async function generateFirstToken(engine: BenchEngine): Promise<void> {
  await measurePrefill(engine, 8)
}

/** Prompt tokens per second until the first token of the answer. */
async function measurePrefill(engine: BenchEngine, length: number): Promise<number> {
  await engine.prepare({ numSeqs: 1, maxModelLen: length + 64 })
  const start = performance.now()
  await engine.generateAll([createPrompt(length, length)], 1, () => {})
  return (1000 * length) / (performance.now() - start)
}

/** Tokens of all sequences per second, from when every one has its first token until the first one has its last. */
async function measureDecode(engine: BenchEngine, numSeqs: number, plan: SpeedPlan): Promise<number> {
  const { promptLength } = plan
  const numTokens = plan.numTokens + 1
  await engine.prepare({ numSeqs, maxModelLen: promptLength + numTokens + 64 })
  const prompts = Array.from({ length: numSeqs }, (_, i) => createPrompt(promptLength, i))
  const counts = prompts.map(() => 0)
  let startedAt: number | null = null
  let endedAt: number | null = null
  let counted = 0
  await engine.generateAll(prompts, numTokens, (sequence, count) => {
    if (startedAt !== null && endedAt === null) counted += count
    counts[sequence] = (counts[sequence] ?? 0) + count
    if (startedAt === null && counts.every((known) => known > 0)) startedAt = performance.now()
    else if (startedAt !== null && endedAt === null && counts[sequence] >= numTokens) endedAt = performance.now()
  })
  return startedAt === null || endedAt === null ? Number.NaN : (1000 * counted) / (endedAt - startedAt)
}

function createPrompt(length: number, seed: number): number[] {
  return Array.from({ length }, (_, i) => 100 + ((seed * 31 + i * 7) % 2000))
}
