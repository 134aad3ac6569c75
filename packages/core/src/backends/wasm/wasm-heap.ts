import { InsufficientMemoryError } from '../../errors.ts'
import { assert } from '../../util/assert.ts'
import type { Pointer } from './wasm-kernels.ts'

/** All that 32-bit pointers can address, tfjs's own data included. */
export const maxHeapBytes = 4 * 1024 ** 3

/** What the heap needs of tfjs's module, which Emscripten made. */
export interface HeapModule {
  _malloc(sizeInBytes: number): number
  _free(pointer: number): void
  /** Replaced whenever the heap grows. */
  readonly HEAPU8: Uint8Array
}

export function isHeapModule(candidate: object): candidate is HeapModule {
  const hasFunctions = ['_malloc', '_free'].every((name) => typeof Reflect.get(candidate, name) === 'function')
  return hasFunctions && Reflect.get(candidate, 'HEAPU8') instanceof Uint8Array
}

/** Pointers in the scratch arena lie on cache lines. */
const alignment = 64

/**
 * tfjs's wasm heap. NOTE: any allocation, a tensor's included, may grow it, which detaches every view on it: take
 * views after the last allocation and drop them before the next. Pointers stay.
 */
export class WasmHeap {
  readonly #module: HeapModule
  #scratch: Pointer = 0
  #scratchBytes = 0

  constructor(module: HeapModule) {
    this.#module = module
  }

  /** @throws InsufficientMemoryError when the heap cannot grow enough; `purpose` completes "there is no room for …". */
  allocate(sizeInBytes: number, purpose: string): Pointer {
    // malloc takes 32 bits: a larger size would wrap around and give back a small piece.
    const pointer = sizeInBytes < maxHeapBytes ? this.#module._malloc(sizeInBytes) >>> 0 : 0
    if (pointer === 0) throw this.#insufficient(sizeInBytes, purpose)
    return pointer
  }

  free(pointer: Pointer): void {
    this.#module._free(pointer)
  }

  bytes(pointer: Pointer, length: number): Uint8Array {
    return new Uint8Array(this.#module.HEAPU8.buffer, pointer, length)
  }

  floats(pointer: Pointer, length: number): Float32Array {
    return new Float32Array(this.#module.HEAPU8.buffer, pointer, length)
  }

  ints(pointer: Pointer, length: number): Int32Array {
    return new Int32Array(this.#module.HEAPU8.buffer, pointer, length)
  }

  /**
   * Room for arrays of the given sizes in bytes, one pointer each, until the next call: one arena that only grows and
   * is used again by every kernel. A kernel takes all it needs in one call.
   */
  scratch(...sizesInBytes: readonly number[]): Pointer[] {
    let total = 0
    const offsets = sizesInBytes.map((size) => {
      const offset = total
      total += Math.ceil(size / alignment) * alignment
      return offset
    })
    if (total + alignment > this.#scratchBytes) this.#growScratch(total + alignment)
    const base = Math.ceil(this.#scratch / alignment) * alignment
    return offsets.map((offset) => base + offset)
  }

  #growScratch(sizeInBytes: number): void {
    if (this.#scratch !== 0) this.free(this.#scratch)
    this.#scratch = 0
    this.#scratchBytes = 0
    // Half as much again: a batch that grows token by token must not allocate every time.
    const withReserve = Math.ceil(sizeInBytes * 1.5)
    this.#scratch = this.allocate(withReserve, `${withReserve} bytes of scratch`)
    this.#scratchBytes = withReserve
  }

  #insufficient(requiredBytes: number, purpose: string): InsufficientMemoryError {
    const heapBytes = this.#module.HEAPU8.length
    const availableBytes = maxHeapBytes - heapBytes
    return new InsufficientMemoryError(
      `The wasm heap has no room for ${purpose}: ${requiredBytes} bytes are needed, and of at most ${maxHeapBytes} bytes ${heapBytes} are taken. Use a smaller model, fewer KV blocks or smaller batches, or a backend without this limit (cpu).`,
      requiredBytes,
      availableBytes,
    )
  }

  /** Memory of a float32 tensor that tfjs has just made; tfjs itself does not notice when its allocation failed. */
  checkOutput(pointer: Pointer, sizeInBytes: number): void {
    assert(Number.isInteger(pointer), 'a tensor of the wasm backend has no memory')
    if (pointer === 0) throw this.#insufficient(sizeInBytes, 'an activation')
  }
}
