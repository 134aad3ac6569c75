import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CheckpointError } from '@octavo/core'

/** Lists of float32 values, in memory up to a budget and then in a temporary file. */
export class RowStore implements Disposable {
  readonly #budgetBytes: number
  readonly #parts: (Float32Array | { readonly position: number; readonly length: number })[] = []
  #bytesInMemory = 0
  #fileBytes = 0
  #file: { readonly folder: string; readonly fd: number } | null = null

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes
  }

  /** How many bytes did not fit into the budget. */
  get fileBytes(): number {
    return this.#fileBytes
  }

  add(values: Float32Array): void {
    if (this.#bytesInMemory + values.byteLength <= this.#budgetBytes) {
      this.#bytesInMemory += values.byteLength
      this.#parts.push(values.slice())
      return
    }
    const { fd } = (this.#file ??= createFile())
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    for (let done = 0; done < bytes.length;)
      done += writeSync(fd, bytes, done, bytes.length - done, this.#fileBytes + done)
    this.#parts.push({ position: this.#fileBytes, length: values.length })
    this.#fileBytes += bytes.length
  }

  /** What was added as number `index`. */
  get(index: number): Float32Array {
    const part = this.#parts[index]
    if (part instanceof Float32Array) return part
    if (part === undefined || this.#file === null) throw new RangeError(`no part ${index} of ${this.#parts.length}`)
    const values = new Float32Array(part.length)
    const bytes = new Uint8Array(values.buffer)
    for (let done = 0; done < bytes.length;) {
      const numRead = readSync(this.#file.fd, bytes, done, bytes.length - done, part.position + done)
      if (numRead === 0) throw new CheckpointError(this.#file.folder, 'was cut short while it was in use')
      done += numRead
    }
    return values
  }

  [Symbol.dispose](): void {
    if (this.#file !== null) {
      closeSync(this.#file.fd)
      rmSync(this.#file.folder, { recursive: true, force: true })
    }
    this.#file = null
    this.#parts.length = 0
  }
}

/** In a folder of its own, readable for its owner alone. */
function createFile(): { folder: string; fd: number } {
  const folder = mkdtempSync(join(tmpdir(), 'octavo-rows-'))
  return { folder, fd: openSync(join(folder, 'rows'), 'w+') }
}
