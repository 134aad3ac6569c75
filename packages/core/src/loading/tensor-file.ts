import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { CheckpointError } from '../errors.ts'
import { isLfsPointer, lfsPointerReason, lfsPointerStart, maxLfsPointerBytes } from './git-lfs-pointer.ts'
import { assert } from '../util/assert.ts'
import { messageOf } from '../util/message-of.ts'

/** One `read` call takes less than 2 GiB on every platform. */
const maxReadBytes = 1024 * 1024 * 1024

/** A named pipe would wait for its writer for ever. */
const withoutWaiting = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

/** An open checkpoint file, read at offsets straight into the caller's bytes. */
export class TensorFile {
  readonly path: string
  readonly sizeInBytes: number
  #fd: number | null

  constructor(path: string) {
    this.path = path
    try {
      this.#fd = openSync(path, withoutWaiting)
    } catch (error) {
      throw new CheckpointError(path, `can't be opened (${messageOf(error)})`, { cause: error })
    }
    const stat = fstatSync(this.#fd)
    if (!stat.isFile()) {
      this.close()
      throw new CheckpointError(path, 'is not a regular file')
    }
    this.sizeInBytes = stat.size
    this.#refuseLfsPointer()
  }

  /** The descriptor, until `close`. */
  get fd(): number {
    assert(this.#fd !== null, `${this.path} is read after close`)
    return this.#fd
  }

  /** Fills `bytes` from `position` on; a file that ends before is a CheckpointError. */
  read(bytes: Uint8Array, position: number): void {
    const { fd } = this
    for (let done = 0; done < bytes.length;) {
      const length = Math.min(maxReadBytes, bytes.length - done)
      let count: number
      try {
        count = readSync(fd, bytes, done, length, position + done)
      } catch (error) {
        throw new CheckpointError(this.path, `can't be read (${messageOf(error)})`, { cause: error })
      }
      if (count === 0) {
        const end = position + bytes.length
        throw new CheckpointError(
          this.path,
          `has become shorter: bytes ${position + done} to ${end} are not there; download it again`,
        )
      }
      done += count
    }
  }

  #refuseLfsPointer(): void {
    if (this.sizeInBytes > maxLfsPointerBytes) return
    const bytes = new Uint8Array(Math.min(this.sizeInBytes, lfsPointerStart.length))
    this.read(bytes, 0)
    if (!isLfsPointer(Buffer.from(bytes).toString('latin1'))) return
    this.close()
    throw new CheckpointError(this.path, lfsPointerReason)
  }

  close(): void {
    if (this.#fd === null) return
    closeSync(this.#fd)
    this.#fd = null
  }
}
