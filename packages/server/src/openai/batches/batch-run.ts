import type { Logger, TurnQueue } from '@octavo/core'
import type { Batch } from '@octavo/sdk/protocol'
import type { RequestMeter } from '../../access/key-meter.ts'
import { actFor } from '../../acting-caller.ts'
import type { FetchHandler } from '../../fetch-handler.ts'
import { HttpError } from '../../http-error.ts'
import { type BatchError, type BatchRecord, hasEnded } from './batch-record.ts'
import { checkInput, toRequestLine } from './check-input.ts'
import { type FileStore, now } from './file-store.ts'
import type { LineGate } from './line-gate.ts'
import { readLines } from './read-lines.ts'
import { ResultFiles } from './result-files.ts'
import { missedLine, type RequestLine, type ResultLine, runLine } from './run-line.ts'
import { runInOrder } from './run-in-order.ts'

export interface BatchRunOptions {
  readonly files: FileStore
  readonly gate: LineGate
  /** The server itself, and the prefix that it stands under. */
  readonly fetch: FetchHandler
  readonly prefix: string
  readonly turns: TurnQueue
  readonly logger: Logger
  /** Of lines that have none; `null`: they stay without. */
  readonly priority: number | null
  readonly maxLineBytes: number
  /** Of the key that made it. It is not kept: after a restart there are no limits. */
  readonly meter: RequestMeter | undefined
  readonly save: (record: BatchRecord) => Promise<void>
}

/** Why a batch goes on no further. */
type End = 'cancelled' | 'expired' | 'stopped'

class EndOfBatch extends Error {
  readonly end: End

  constructor(end: End) {
    super(`The batch was ${end}.`)
    this.end = end
  }
}

/** Results that wait for one that takes longer. */
const maxHeld = 1024
/** `setTimeout` knows no longer time. */
const maxTimeoutMs = 2 ** 31 - 1

/** A batch on its way through its statuses. */
export class BatchRun {
  readonly record: BatchRecord
  readonly #options: BatchRunOptions
  readonly #controller = new AbortController()
  #results: ResultFiles | null = null

  constructor(record: BatchRecord, options: BatchRunOptions) {
    this.record = record
    this.#options = options
  }

  /** What clients see, with the counts of this moment. */
  get batch(): Batch {
    const { batch } = this.record
    return { ...batch, request_counts: { ...batch.request_counts, ...this.#counts() } }
  }

  cancel(): Promise<void> {
    this.#controller.abort(new EndOfBatch('cancelled'))
    return this.#update({ status: 'cancelling', cancelling_at: now() })
  }

  /** It goes on when the server is started again. */
  stop(): void {
    this.#controller.abort(new EndOfBatch('stopped'))
  }

  async run(): Promise<void> {
    const expiry = setTimeout(
      () => this.#controller.abort(new EndOfBatch('expired')),
      Math.min(maxTimeoutMs, Math.max(0, (this.record.batch.expires_at ?? 0) * 1000 - Date.now())),
    )
    expiry.unref()
    if (this.record.batch.status === 'cancelling') this.#controller.abort(new EndOfBatch('cancelled'))
    try {
      if (this.record.batch.status === 'validating') await this.#validate()
      if (!hasEnded(this.record)) await this.#execute()
    } catch (error) {
      if (!(error instanceof EndOfBatch)) await this.#fail(error)
    } finally {
      clearTimeout(expiry)
    }
  }

  /** What was done before a restart. */
  async openResults(): Promise<ResultFiles> {
    this.#results ??= await ResultFiles.open(this.record, this.#options.files)
    return this.#results
  }

  async #validate(): Promise<void> {
    const { endpoint } = this.record.batch
    const { errors, numLines } = await checkInput(this.#lines(), { endpoint, turns: this.#options.turns })
    const counts = { total: numLines, completed: 0, failed: 0 }
    if (errors.length > 0) return this.#update({ ...failure(errors), request_counts: { ...counts, total: 0 } })
    // Not where it was cancelled meanwhile.
    const isCancelled = this.record.batch.status !== 'validating'
    await this.#update({
      ...(!isCancelled && { status: 'in_progress', in_progress_at: now() }),
      request_counts: counts,
    })
  }

  async #execute(): Promise<void> {
    const results = await this.openResults()
    try {
      await this.#runLines(results)
    } finally {
      await results.close()
    }
    const end = this.#end
    if (end === 'stopped') return
    if (end === null) await this.#update({ status: 'finalizing', finalizing_at: now() })
    const published = await this.#published(results)
    if (end === 'cancelled') await this.#update({ ...published, status: 'cancelled', cancelled_at: now() })
    else if (end === 'expired') await this.#update({ ...published, status: 'expired', expired_at: now() })
    else await this.#update({ ...published, status: 'completed', completed_at: now() })
  }

  async #runLines(results: ResultFiles): Promise<void> {
    const { gate } = this.#options
    const { signal } = this.#controller
    let numToSkip = results.numCompleted + results.numFailed
    const lines = this.#lines()
    const left = (async function* () {
      for await (const line of lines) if (numToSkip-- <= 0) yield toRequestLine(line)
    })()
    await runInOrder<RequestLine, ResultLine>(left, {
      enter: () => gate.enter(String(this.record.tenant), signal),
      run: (line, hasPlace) => this.#runLine(line, hasPlace),
      write: (result) => results.write(result),
      maxHeld,
    })
  }

  /** @throws EndOfBatch where the server stops */
  async #runLine(line: RequestLine, hasPlace: boolean): Promise<ResultLine> {
    const { fetch, gate, meter, prefix, priority } = this.#options
    const { signal } = this.#controller
    const { id, endpoint } = this.record.batch
    if (!hasPlace) return this.#missed(line)
    const requestId = `${id}-${line.number}`
    const options = { fetch, path: `${prefix}${endpoint}`, requestId, priority, signal }
    try {
      return await actFor({ tenant: this.record.tenant, isBatch: true, ...(meter && { meter }) }, () =>
        runLine(line, options),
      )
    } catch (error) {
      if (signal.aborted) return this.#missed(line)
      throw error
    } finally {
      gate.leave()
    }
  }

  #missed(line: RequestLine): ResultLine {
    const end = this.#end
    if (end === 'expired')
      return missedLine(line, {
        code: 'batch_expired',
        message: 'This request could not be executed before the completion window expired.',
      })
    if (end === 'cancelled')
      return missedLine(line, {
        code: 'batch_cancelled',
        message: 'The batch was cancelled before this request ended.',
      })
    throw new EndOfBatch('stopped')
  }

  get #end(): End | null {
    const { signal } = this.#controller
    return signal.aborted ? (signal.reason as EndOfBatch).end : null
  }

  #lines(): ReturnType<typeof readLines> {
    const { files, maxLineBytes } = this.#options
    return readLines(files.read({ id: this.record.batch.input_file_id }), maxLineBytes)
  }

  async #published(results: ResultFiles): Promise<Partial<Batch>> {
    const { outputFileId, errorFileId } = await results.publish()
    const request_counts = { ...this.record.batch.request_counts, ...this.#counts() }
    return { output_file_id: outputFileId, error_file_id: errorFileId, request_counts }
  }

  #counts(): { completed?: number; failed?: number } {
    return this.#results === null ? {} : { completed: this.#results.numCompleted, failed: this.#results.numFailed }
  }

  /** Nothing of a line's fault, which would be its result. */
  async #fail(error: unknown): Promise<void> {
    // Lines that run still would have nowhere to go.
    this.stop()
    const name = error instanceof Error ? error.name : typeof error
    this.#options.logger.error(`${this.record.batch.id} failed: ${name}`)
    const message =
      error instanceof HttpError ? error.message : 'The server could not go on with this batch; its log has the cause.'
    const published = this.#results === null ? {} : await this.#published(this.#results).catch(() => ({}))
    await this.#update({ ...published, ...failure([{ code: 'server_error', message, param: null, line: null }]) })
  }

  #update(changes: Partial<Batch>): Promise<void> {
    this.record.batch = { ...this.record.batch, ...changes }
    return this.#options.save(this.record)
  }
}

function failure(errors: readonly BatchError[]): Partial<Batch> {
  return { status: 'failed', failed_at: now(), errors: { object: 'list', data: errors.map((error) => ({ ...error })) } }
}
