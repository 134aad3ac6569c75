import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { EngineDeadError, type EngineOptions, LLM } from '@octavo/core'
import { expect } from 'vitest'
import { parallelExecutor } from './executor-module.ts'
import type { Fault } from './fault-module.case.ts'
import type { ParallelOptions } from './parallel-option-table.ts'

const model = fileURLToPath(new URL('../../../fixtures/models/llama', import.meta.url))

export interface FaultyRanksOptions extends Pick<EngineOptions, 'stepTimeoutMs'> {
  readonly parallel: ParallelOptions
}

/** An engine on two ranks of which the second one goes wrong when it is told to. */
export class FaultyRanks implements AsyncDisposable {
  readonly #llm: LLM
  readonly #folder: string
  readonly #tokens: unknown

  private constructor(llm: LLM, folder: string, tokens: unknown) {
    this.#llm = llm
    this.#folder = folder
    this.#tokens = tokens
  }

  static async start({ parallel, ...options }: FaultyRanksOptions): Promise<FaultyRanks> {
    const folder = mkdtempSync(path.join(tmpdir(), 'octavo-rank-fault-'))
    const fault = {
      kind: 'linear-methods',
      name: 'fault',
      url: new URL('./fault-module.case.ts', import.meta.url).href,
      options: { rank: 1, file: path.join(folder, 'now') },
    } as const
    const llm = await LLM.load(model, {
      ...options,
      backend: 'cpu',
      kvCacheMemory: '64MiB',
      generationConfig: 'octavo',
      modules: [parallelExecutor(parallel), fault],
      restart: { initialDelayMs: 100, maxDelayMs: 1000, maxAttempts: 9, healthyAfterMs: 60_000 },
    })
    return new FaultyRanks(llm, folder, await tokensOf(llm))
  }

  /**
   * What happens under a running request; returns what it ended with, once the ranks serve again and give the same tokens.
   * @param deadlineMs after how long it must have been noticed
   */
  async cause(fault: Fault, deadlineMs: number): Promise<unknown> {
    const file = path.join(this.#folder, 'now')
    const held = this.#llm
      .generate([1, 2, 3], { temperature: 0, maxTokens: 200, ignoreEos: true })
      .catch((error: unknown) => error)
    writeFileSync(`${file}.new`, fault)
    renameSync(`${file}.new`, file)
    const startedAt = performance.now()
    const error = await held
    expect(performance.now() - startedAt).toBeLessThan(deadlineMs + 1000)
    expect(error).toBeInstanceOf(EngineDeadError)
    await expect(this.#llm.engine.checkHealth()).rejects.toThrow(EngineDeadError)
    await this.#servesAgain()
    expect(await tokensOf(this.#llm)).toEqual(this.#tokens)
    return (error as EngineDeadError).cause
  }

  /** Something happened while nothing ran: it is noticed all the same. */
  async causeBetweenRequests(): Promise<unknown> {
    const health = (): Promise<unknown> => this.#llm.engine.checkHealth().catch((error: unknown) => error)
    await expect.poll(health, { timeout: 1000, interval: 10 }).toBeInstanceOf(EngineDeadError)
    const error = await health()
    await this.#servesAgain()
    expect(await tokensOf(this.#llm)).toEqual(this.#tokens)
    return (error as EngineDeadError).cause
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#llm.shutdown()
    rmSync(this.#folder, { recursive: true })
  }

  async #servesAgain(): Promise<void> {
    const isHealthy = (): Promise<boolean> =>
      this.#llm.engine.checkHealth().then(
        () => true,
        () => false,
      )
    for (const startedAt = performance.now(); !(await isHealthy()); await sleep(20))
      expect(performance.now() - startedAt, 'ms since the failure').toBeLessThan(20_000)
  }
}

async function tokensOf(llm: LLM): Promise<unknown> {
  const [output] = await llm.generate([1, 2, 3], { temperature: 0, maxTokens: 8, ignoreEos: true })
  return output?.outputs[0]?.tokenIds
}
