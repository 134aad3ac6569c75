/** Below this many elements an array comes from V8's own fast allocator. */
const minLength = 4096

/**
 * Keeps the memory of large arrays for the next ones. A fresh array of megabytes costs more than many a kernel: the system
 * hands it out page by page, each cleared first.
 */
export class ArrayPool {
  readonly #maxBytes: number
  readonly #free = new Map<number, ArrayBuffer[]>() // by size
  #freeBytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** An array with any content, zeros only by chance. */
  take(length: number): Float32Array<ArrayBuffer> {
    if (length < minLength) return new Float32Array(length)
    const size = sizeClass(length * Float32Array.BYTES_PER_ELEMENT)
    const buffer = this.#free.get(size)?.pop()
    if (buffer !== undefined) this.#freeBytes -= size
    return new Float32Array(buffer ?? new ArrayBuffer(size), 0, length)
  }

  /** Takes back an array that `take` gave and that nobody will touch again. */
  give(array: Float32Array<ArrayBuffer>): void {
    const { buffer } = array
    if (array.length < minLength) return
    if (this.#freeBytes + buffer.byteLength > this.#maxBytes) {
      buffer.transfer(0) // frees it now, not at some later garbage collection
      return
    }
    const buffers = this.#free.get(buffer.byteLength)
    if (buffers === undefined) this.#free.set(buffer.byteLength, [buffer])
    else buffers.push(buffer)
    this.#freeBytes += buffer.byteLength
  }
}

/** Rounds up to one of eight sizes per power of two: batches of similar size share, and at most an eighth is unused. */
function sizeClass(bytes: number): number {
  const step = 2 ** (Math.floor(Math.log2(bytes)) - 3)
  return Math.ceil(bytes / step) * step
}
