import { mkdtempSync, rmSync, writeFileSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { EngineDeadError, LLM, type RequestOutput } from '@octavo/core'
import { expect } from 'vitest'
import { parallelExecutor } from './executor-module.ts'
import type { Fault } from './fault-module.case.ts'
import type { ParallelOptions } from './parallel-option-table.ts'

export interface FaultRun {
  readonly parallel: ParallelOptions
  readonly fault: Fault
  /** After how long it must have been noticed. */
  readonly deadlineMs: number
  readonly stepTimeoutMs?: number
}

const model = fileURLToPath(new URL('../../../fixtures/models/llama', import.meta.url))
const request = [[1, 2, 3], { temperature: 0, maxTokens: 8, ignoreEos: true }] as const

/** One rank goes wrong under a running request; gives what that request ended with, after the ranks serve again. */
export async function runWithFault({ parallel, fault, deadlineMs, stepTimeoutMs }: FaultRun): Promise<EngineDeadError> {
  const folder = mkdtempSync(path.join(tmpdir(), 'octavo-rank-fault-'))
  const file = path.join(folder, 'now')
  const url = new URL('./fault-module.case.ts', import.meta.url).href
  const llm = await LLM.load(model, {
    backend: 'cpu',
    kvCacheMemory: '64MiB',
    generationConfig: 'octavo',
    modules: [parallelExecutor(parallel), { kind: 'linear-methods', name: 'fault', url, options: { rank: 1, file } }],
    restart: { initialDelayMs: 100, maxDelayMs: 1000, maxAttempts: 5, healthyAfterMs: 60_000 },
    ...(stepTimeoutMs !== undefined && { stepTimeoutMs }),
  })
  try {
    const before = await llm.generate(...request)
    const held = llm.generate([1, 2, 3], { temperature: 0, maxTokens: 200, ignoreEos: true }).catch(toError)
    writeFileSync(`${file}.new`, fault)
    renameSync(`${file}.new`, file)
    const startedAt = performance.now()
    const error = await held
    expect(performance.now() - startedAt).toBeLessThan(deadlineMs + 1000)
    expect(error).toBeInstanceOf(EngineDeadError)
    await expect(llm.engine.checkHealth()).rejects.toThrow(EngineDeadError)
    await servesAgain(llm)
    expect(tokensOf(await llm.generate(...request))).toEqual(tokensOf(before))
    return error as EngineDeadError
  } finally {
    await llm.shutdown()
    rmSync(folder, { recursive: true })
  }
}

async function servesAgain(llm: LLM): Promise<void> {
  const isHealthy = (): Promise<boolean> =>
    llm.engine.checkHealth().then(
      () => true,
      () => false,
    )
  for (const startedAt = performance.now(); !(await isHealthy()); await sleep(20))
    expect(performance.now() - startedAt, 'ms since the failure').toBeLessThan(20_000)
}

function tokensOf(outputs: readonly RequestOutput[]): unknown {
  return outputs.map(({ outputs: [output] }) => output?.tokenIds)
}

function toError(error: unknown): unknown {
  return error
}
