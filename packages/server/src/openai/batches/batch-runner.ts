import type { Batch, BatchRequest } from '@octavo/sdk/protocol'
import type { RequestMeter } from '../../access/key-meter.ts'
import type { Caller } from '../../authenticate.ts'
import { HttpError } from '../../http-error.ts'
import { type BatchRecord, hasEnded } from './batch-record.ts'
import { BatchRun, type BatchRunOptions } from './batch-run.ts'
import { type FileStore, now } from './file-store.ts'
import { newId } from './storage-folder.ts'

type RunnerOptions = Omit<BatchRunOptions, 'save' | 'meter'>

const windowSeconds = 24 * 60 * 60
/** A server that starts forgets older ones that have ended; their files stay. */
const keptSeconds = 30 * windowSeconds
/** Each has its input open. */
const maxUnfinished = 64

/** All batches, those that run and those that have ended; each tenant sees its own. */
export class BatchRunner {
  readonly #files: FileStore
  readonly #options: RunnerOptions
  readonly #runs = new Map<string, BatchRun>()
  readonly #working = new Set<Promise<void>>()
  /** The last write of each record: one after the other. */
  readonly #saved = new Map<string, Promise<void>>()

  private constructor(options: RunnerOptions) {
    this.#files = options.files
    this.#options = options
  }

  /** Goes on with what was running when the last server stopped. */
  static async open(options: RunnerOptions): Promise<BatchRunner> {
    const runner = new BatchRunner(options)
    const records = (await options.files.folder.readAll('batches')) as BatchRecord[]
    for (const record of records.sort((a, b) => a.batch.created_at - b.batch.created_at)) {
      if (hasEnded(record) && record.batch.created_at < now() - keptSeconds) {
        await options.files.folder.removeJson('batches', record.batch.id)
        continue
      }
      const run = runner.#add(record)
      if (hasEnded(record)) continue
      if (record.batch.status !== 'validating') await run.openResults()
      runner.#begin(run)
    }
    return runner
  }

  /** Newest first. */
  list(tenant: string | null): Batch[] {
    const own = [...this.#runs.values()].filter(({ record }) => record.tenant === tenant)
    return own.map(({ batch }) => batch).reverse()
  }

  /** @throws HttpError 404 */
  get(tenant: string | null, id: string): Batch {
    return this.#find(tenant, id).batch
  }

  /** @throws HttpError 400 where there is no such file, or too many batches have not ended */
  async create({ tenant, meter }: Caller, request: BatchRequest): Promise<Batch> {
    const file = this.#files.get(tenant, request.input_file_id)
    if (file.purpose !== 'batch')
      throw new HttpError(400, 'input_file_id: must be a file with the purpose "batch".', { param: 'input_file_id' })
    const unfinished = [...this.#runs.values()].filter(({ record }) => record.tenant === tenant && !hasEnded(record))
    if (unfinished.length >= maxUnfinished)
      throw new HttpError(
        429,
        `There are ${maxUnfinished} batches that have not ended, which is the limit; wait, or cancel some.`,
      )
    const record: BatchRecord = {
      tenant,
      batch: newBatch(request),
      outputId: newId('file-'),
      errorId: newId('file-'),
      outputExpiresAfter: request.output_expires_after ?? null,
    }
    await this.#save(record)
    const run = this.#add(record, meter)
    this.#begin(run)
    return run.batch
  }

  /** @throws HttpError 404, or 400 where it has ended */
  async cancel(tenant: string | null, id: string): Promise<Batch> {
    const run = this.#find(tenant, id)
    const { status } = run.batch
    if (status === 'cancelling') return run.batch
    if (hasEnded(run.record) || status === 'finalizing')
      throw new HttpError(400, `The batch cannot be cancelled any more: it is ${status}.`)
    await run.cancel()
    return run.batch
  }

  /** The batch that a file is still needed by. */
  readerOf(fileId: string): string | null {
    const run = [...this.#runs.values()].find(
      ({ record }) => !hasEnded(record) && record.batch.input_file_id === fileId,
    )
    return run?.record.batch.id ?? null
  }

  /** Nothing more is begun, and what runs is given up, to be done again after the next start. */
  async stop(): Promise<void> {
    for (const run of this.#runs.values()) run.stop()
    await Promise.all(this.#working)
  }

  #add(record: BatchRecord, meter?: RequestMeter): BatchRun {
    const run = new BatchRun(record, { ...this.#options, meter, save: (changed) => this.#save(changed) })
    this.#runs.set(record.batch.id, run)
    return run
  }

  #begin(run: BatchRun): void {
    const work = run
      .run()
      // What became of it could not be written down.
      .catch(() => this.#options.logger.error(`${run.record.batch.id}: its record could not be written`))
      .finally(() => this.#working.delete(work))
    this.#working.add(work)
  }

  #find(tenant: string | null, id: string): BatchRun {
    const run = this.#runs.get(id)
    if (run === undefined || run.record.tenant !== tenant)
      throw new HttpError(404, `There is no batch ${JSON.stringify(id.slice(0, 64))}.`, { param: 'batch_id' })
    return run
  }

  #save(record: BatchRecord): Promise<void> {
    const { id } = record.batch
    const before = this.#saved.get(id) ?? Promise.resolve()
    const saved = before.catch(() => undefined).then(() => this.#files.folder.writeJson('batches', id, record))
    this.#saved.set(id, saved)
    return saved
  }
}

function newBatch({ endpoint, input_file_id, completion_window, metadata = null }: BatchRequest): Batch {
  const created = now()
  return {
    id: newId('batch_'),
    object: 'batch',
    endpoint,
    errors: null,
    input_file_id,
    completion_window,
    status: 'validating',
    output_file_id: null,
    error_file_id: null,
    created_at: created,
    in_progress_at: null,
    expires_at: created + windowSeconds,
    finalizing_at: null,
    completed_at: null,
    failed_at: null,
    expired_at: null,
    cancelling_at: null,
    cancelled_at: null,
    request_counts: { total: 0, completed: 0, failed: 0 },
    metadata,
  }
}
