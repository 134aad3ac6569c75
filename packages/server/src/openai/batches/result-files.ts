import { type FileHandle, open, rm, stat } from 'node:fs/promises'
import { createReadStream } from 'node:fs'
import type { BatchRecord } from './batch-record.ts'
import type { FileStore } from './file-store.ts'
import type { ResultLine } from './run-line.ts'

const newline = 0x0a

/** The two files that a batch writes. What is in them is the beginning of the input's results, whenever the server stops. */
export class ResultFiles {
  readonly #record: BatchRecord
  readonly #files: FileStore
  readonly #output: FileHandle
  readonly #errors: FileHandle
  readonly #meter: ReturnType<FileStore['meter']>
  numCompleted: number
  numFailed: number

  private constructor(
    { record, files }: { readonly record: BatchRecord; readonly files: FileStore },
    [output, errors]: readonly [OpenedFile, OpenedFile],
  ) {
    this.#record = record
    this.#files = files
    this.#output = output.handle
    this.#errors = errors.handle
    this.numCompleted = output.numLines
    this.numFailed = errors.numLines
    this.#meter = files.meter({ isBounded: false })
  }

  static async open(record: BatchRecord, files: FileStore): Promise<ResultFiles> {
    const output = await openResultFile(files.pathOf(record.outputId))
    const errors = await openResultFile(files.pathOf(record.errorId))
    return new ResultFiles({ record, files }, [output, errors])
  }

  /** @throws HttpError 413 where there is no room */
  async write({ isSuccess, text }: ResultLine): Promise<void> {
    this.#meter.add(Buffer.byteLength(text))
    await (isSuccess ? this.#output : this.#errors).appendFile(text)
    if (isSuccess) this.numCompleted++
    else this.numFailed++
  }

  async close(): Promise<void> {
    await Promise.all([this.#output.close(), this.#errors.close()])
    this.#meter.end()
  }

  /** Makes them files that clients can read; an empty one is none. Again does no harm. */
  async publish(): Promise<{ readonly outputFileId: string | null; readonly errorFileId: string | null }> {
    const { outputId, errorId } = this.#record
    return {
      outputFileId: await this.#publish(outputId, 'output'),
      errorFileId: await this.#publish(errorId, 'error'),
    }
  }

  async #publish(id: string, name: string): Promise<string | null> {
    const { tenant, batch, outputExpiresAfter: expiresAfter } = this.#record
    if (this.#files.has(id)) return id
    if ((await stat(this.#files.pathOf(id))).size === 0) {
      await rm(this.#files.pathOf(id))
      return null
    }
    const filename = `${batch.id}_${name}.jsonl`
    await this.#files.register(id, { tenant, filename, purpose: 'batch_output', expiresAfter })
    return id
  }
}

interface OpenedFile {
  readonly handle: FileHandle
  readonly numLines: number
}

/** To be written on; a last line that was not written to its end is cut away. */
export async function openResultFile(path: string): Promise<OpenedFile> {
  const handle = await open(path, 'a', 0o600)
  let [numLines, numBytes, end] = [0, 0, 0]
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, at + 1)) {
      numLines++
      end = numBytes + at + 1
    }
    numBytes += chunk.length
  }
  if (end < numBytes) await handle.truncate(end)
  return { handle, numLines }
}
