/** Shorter arrays lie in V8's own heap (up to 64 bytes) or are as cheap to make anew. */
const minLength = 64

/**
 * Keeps the memory of arrays for the next ones. A fresh array of megabytes costs more than many a kernel: the system
 * hands it out page by page, each cleared first; and a fresh small one is an allocation and work for the garbage collector.
 */
export class ArrayPool {
  readonly #maxBytes: number
  readonly #free = new Map<number, Float32Array<ArrayBuffer>[]>() // by their buffers' size
  #freeBytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** An array with any content, zeros only by chance. */
  take(length: number): Float32Array<ArrayBuffer> {
    if (length < minLength) return new Float32Array(length)
    const size = sizeClass(length * Float32Array.BYTES_PER_ELEMENT)
    const array = this.#free.get(size)?.pop()
    if (array === undefined) return new Float32Array(new ArrayBuffer(size), 0, length)
    this.#freeBytes -= size
    return array.length === length ? array : new Float32Array(array.buffer, 0, length)
  }

  /** Takes back an array that `take` gave and that nobody will touch again. */
  give(array: Float32Array<ArrayBuffer>): void {
    const { buffer } = array
    if (array.length < minLength) return
    if (this.#freeBytes + buffer.byteLength > this.#maxBytes) {
      buffer.transfer(0) // frees it now, not at some later garbage collection
      return
    }
    const arrays = this.#free.get(buffer.byteLength)
    if (arrays === undefined) this.#free.set(buffer.byteLength, [array])
    else arrays.push(array)
    this.#freeBytes += buffer.byteLength
  }
}

/** Rounds up to one of eight sizes per power of two: batches of similar size share, and at most an eighth is unused. */
function sizeClass(bytes: number): number {
  const step = 2 ** (Math.floor(Math.log2(bytes)) - 3)
  return Math.ceil(bytes / step) * step
}
