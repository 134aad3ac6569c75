import type { Logger } from '@octavo/core'
import type { FastifyInstance } from 'fastify'
import { toFetchHandler } from '../../fetch-handler.ts'
import type { ServerContext } from '../../server-context.ts'
import { BatchRunner } from './batch-runner.ts'
import { FileStore } from './file-store.ts'
import { LineGate } from './line-gate.ts'
import { StorageFolder } from './storage-folder.ts'

export interface BatchOptions {
  /** Where files and batches are kept, so that they go on after a restart; one server at a time. Default: a temporary folder, gone with the server. */
  readonly folder?: string
  /** Requests of batches at once; a quarter of them while clients wait for answers. Default 16. */
  readonly maxRequests?: number
  /** Of requests of batches, for an engine that schedules by priorities. Default: none. */
  readonly priority?: number
  /** Of one file. Default 200 MiB. */
  readonly maxFileBytes?: number
  /** Of all files. Default 4 GiB. */
  readonly maxStoredBytes?: number
}

interface OpenBatches {
  readonly files: FileStore
  readonly runner: BatchRunner
}

const mebibyte = 1024 * 1024

/** Files and batches of one server, opened when they are first asked for, or when it starts where they are kept. */
export class Batches {
  readonly #app: FastifyInstance
  readonly #server: ServerContext
  readonly #options: BatchOptions & { readonly logger: Logger }
  #folder: Promise<StorageFolder> | null = null
  #opened: Promise<OpenBatches> | null = null

  constructor(app: FastifyInstance, server: ServerContext, options: BatchOptions & { readonly logger: Logger }) {
    this.#app = app
    this.#server = server
    this.#options = options
    app.addHook('onReady', () => this.#resume())
    // Not in the way of answers that clients wait for.
    app.addHook('preClose', async () => void (await (await this.#openedSoFar())?.runner.stop()))
    app.addHook('onClose', async () => void (await (await this.#folder?.catch(() => null))?.close()))
  }

  open(): Promise<OpenBatches> {
    this.#opened ??= this.#open()
    return this.#opened
  }

  /** What is kept may be large: the server does not wait for all of it to be read. */
  async #resume(): Promise<void> {
    if (this.#options.folder === undefined) return
    await this.#openFolder()
    this.open().catch(() => this.#options.logger.error('files and batches of the folder could not be read'))
  }

  #openFolder(): Promise<StorageFolder> {
    this.#folder ??= StorageFolder.open(this.#options.folder ?? null)
    return this.#folder
  }

  async #openedSoFar(): Promise<OpenBatches | null> {
    return (await this.#opened?.catch(() => null)) ?? null
  }

  async #open(): Promise<OpenBatches> {
    const { maxRequests = 16, priority = null, logger } = this.#options
    const { maxFileBytes = 200 * mebibyte, maxStoredBytes = 4096 * mebibyte } = this.#options
    const { engine, inFlight, turns, bodyLimit } = this.#server
    const folder = await this.#openFolder()
    const files = await FileStore.open(folder, { maxFileBytes, maxStoredBytes })
    const gate = new LineGate({
      maxLines: maxRequests,
      numOthers: () => inFlight.numWaitedFor,
      numWaitingSeqs: () => engine.metrics().numWaitingSeqs,
    })
    const runner = await BatchRunner.open({
      files,
      gate,
      fetch: toFetchHandler(this.#app),
      prefix: this.#app.prefix,
      turns,
      logger,
      priority,
      maxLineBytes: bodyLimit,
    })
    return { files, runner }
  }
}
