import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { CheckpointError } from '@octavo/core'
import { ggmlTypeOf, rowBytes, type WeightFormat } from '@octavo/core/loading'
import { ByteWriter, type GgufEntries } from './gguf-value.ts'

const alignment = 32

export interface GgufTensorEntry {
  readonly name: string
  /** Slowest dimension first. */
  readonly shape: readonly number[]
  readonly format: WeightFormat
}

/**
 * A GGUF file (version 3) that is written from front to back under another name, and gets its own when it is whole. Disposed
 * of before that, nothing is left.
 */
export class GgufFile implements Disposable {
  readonly path: string
  readonly #temporary: string
  #fd: number | null
  /** Of the tensor being written. */
  #pending = 0
  readonly #sizes: number[]

  constructor(path: string, metadata: GgufEntries, tensors: readonly GgufTensorEntry[]) {
    this.path = path
    this.#temporary = `${path}.${process.pid}.part`
    this.#sizes = tensors.map(tensorBytes)
    this.#fd = this.#attempt(() => openSync(this.#temporary, 'w'))
    try {
      this.#write(headerOf(metadata, tensors))
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
  }

  /** The next bytes of the tensors, in the order of the header. */
  append(bytes: Uint8Array): void {
    this.#write(bytes)
    this.#pending += bytes.length
    const size = this.#sizes[0]
    if (size === undefined || this.#pending < size) return
    if (this.#pending > size) throw new Error(`${this.#pending} bytes for a tensor of ${size}`)
    this.#write(new Uint8Array((alignment - (size % alignment)) % alignment))
    this.#sizes.shift()
    this.#pending = 0
  }

  /** Puts the whole file in its place. */
  finish(): void {
    if (this.#sizes.length > 0) throw new Error(`${this.#sizes.length} tensors of ${this.path} were not written`)
    this.#attempt(() => {
      fsyncSync(this.#fd!)
      closeSync(this.#fd!)
      this.#fd = null
      renameSync(this.#temporary, this.path)
    })
  }

  [Symbol.dispose](): void {
    if (this.#fd === null) return
    closeSync(this.#fd)
    this.#fd = null
    rmSync(this.#temporary, { force: true })
  }

  #write(bytes: Uint8Array): void {
    this.#attempt(() => {
      for (let done = 0; done < bytes.length;) done += writeSync(this.#fd!, bytes, done)
    })
  }

  #attempt<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      const reason =
        code === 'ENOSPC'
          ? 'the disk is full: free space there, or choose a smaller type'
          : `${message}; choose another place`
      throw new CheckpointError(this.path, `can't be written (${reason})`, { cause: error })
    }
  }
}

export function tensorBytes({ shape, format }: GgufTensorEntry): number {
  return shape.slice(0, -1).reduce((product, size) => product * size, 1) * rowBytes(format, shape.at(-1) ?? 1)
}

function headerOf(metadata: GgufEntries, tensors: readonly GgufTensorEntry[]): Uint8Array {
  const header = new ByteWriter()
  header.uint32(0x46554747)
  header.uint32(3)
  header.uint64(tensors.length)
  header.uint64(metadata.size)
  for (const [key, value] of metadata) {
    header.text(key)
    header.value(value)
  }
  let offset = 0
  for (const tensor of tensors) {
    header.text(tensor.name)
    header.uint32(tensor.shape.length)
    for (const size of tensor.shape.toReversed()) header.uint64(size)
    header.uint32(ggmlTypeOf(tensor.format))
    header.uint64(offset)
    offset += Math.ceil(tensorBytes(tensor) / alignment) * alignment
  }
  header.pad(alignment)
  return header.result()
}
