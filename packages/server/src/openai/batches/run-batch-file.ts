import { createReadStream } from 'node:fs'
import { rename } from 'node:fs/promises'
import { InvalidConfigError, TurnQueue } from '@octavo/core'
import type { FastifyInstance } from 'fastify'
import { toFetchHandler } from '../../fetch-handler.ts'
import { checkLine, pathOfLine, toRequestLine } from './check-input.ts'
import { LineGate } from './line-gate.ts'
import { type InputLine, readLines } from './read-lines.ts'
import { openResultFile } from './result-files.ts'
import { runInOrder } from './run-in-order.ts'
import { missedLine, type ResultLine, runLine } from './run-line.ts'

export interface RunBatchFileOptions {
  /** A request a line, as /v1/batches takes them; each may go to an endpoint of its own. */
  readonly input: string
  /** A result a line, in the same order, those of requests that failed among them. */
  readonly output: string
  /** At once. */
  readonly maxRequests: number
  /** Longest line in bytes. Default 32 MiB. */
  readonly maxLineBytes?: number
  readonly signal: AbortSignal
  readonly onResult?: (isSuccess: boolean) => void
}

export interface BatchFileCounts {
  readonly numCompleted: number
  readonly numFailed: number
  /** Done before, by a run that was stopped. */
  readonly numKept: number
}

/**
 * Runs the requests of a file through an app that need not listen. What is done so far is in OUTPUT.part, from which a
 * later call goes on; it becomes the output when all is done.
 * @throws InvalidConfigError where OUTPUT.part is of another input, and what the signal fires with
 */
export async function runBatchFile(app: FastifyInstance, options: RunBatchFileOptions): Promise<BatchFileCounts> {
  const part = `${options.output}.part`
  const { handle } = await openResultFile(part)
  const run = new BatchFileRun(app, options)
  try {
    const done = await customIdsIn(part)
    const lines = run.linesAfter(done)
    await runInOrder<InputLine, ResultLine>(lines, {
      enter: () => run.gate.enter('', options.signal),
      run: (line, hasPlace) => run.run(line, hasPlace),
      write: async (result) => {
        await handle.appendFile(result.text)
        run.count(result)
      },
      maxHeld: 1024,
    })
    await handle.sync()
    await rename(part, options.output)
    return { ...run.counts, numKept: done.length }
  } finally {
    await handle.close()
  }
}

class BatchFileRun {
  readonly gate: LineGate
  readonly counts = { numCompleted: 0, numFailed: 0 }
  readonly #options: RunBatchFileOptions
  readonly #fetch: ReturnType<typeof toFetchHandler>
  readonly #turns = new TurnQueue()
  readonly #seen = new Set<string>()

  constructor(app: FastifyInstance, options: RunBatchFileOptions) {
    this.#options = options
    this.#fetch = toFetchHandler(app)
    this.gate = new LineGate({ maxLines: options.maxRequests, numOthers: () => 0, numWaitingSeqs: () => 0 })
  }

  async *linesAfter(done: readonly string[]): AsyncGenerator<InputLine, void, undefined> {
    const { input, output, maxLineBytes = 32 * 1024 * 1024 } = this.#options
    let index = 0
    for await (const line of readLines(createReadStream(input), maxLineBytes)) {
      const kept = done[index++]
      if (kept === undefined) {
        yield line
        continue
      }
      const id = nameOf(line)
      this.#seen.add(id)
      if (id !== kept) throw isOfOther(output)
    }
    if (index < done.length) throw isOfOther(output)
  }

  async run(line: InputLine, hasPlace: boolean): Promise<ResultLine> {
    const { signal } = this.#options
    try {
      signal.throwIfAborted()
      const fault = await checkLine(line.bytes, { endpoint: null, turns: this.#turns, seen: this.#seen })
      if (fault !== null) return missedLine({ customId: nameOf(line) }, fault)
      const [request, path] = [toRequestLine(line), pathOfLine(line)]
      const requestId = `batch-${line.number}`
      return await runLine(request, { fetch: this.#fetch, path, requestId, priority: null, signal })
    } finally {
      if (hasPlace) this.gate.leave()
    }
  }

  count({ isSuccess }: ResultLine): void {
    if (isSuccess) this.counts.numCompleted++
    else this.counts.numFailed++
    this.#options.onResult?.(isSuccess)
  }
}

/** By which its result is found: also of a line that is no request. */
function nameOf(line: InputLine): string {
  try {
    return toRequestLine(line).customId || `line-${line.number}`
  } catch {
    return `line-${line.number}`
  }
}

async function customIdsIn(part: string): Promise<string[]> {
  const ids: string[] = []
  for await (const line of readLines(createReadStream(part), Infinity)) ids.push(toRequestLine(line).customId)
  return ids
}

function isOfOther(output: string): InvalidConfigError {
  return new InvalidConfigError(
    'outputFile',
    `${output}.part holds results of other requests; delete it, or write to another file.`,
  )
}
