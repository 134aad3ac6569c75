import { describe, expect, it } from 'vitest'
import { InsufficientMemoryError } from '../../errors.ts'
import { WasmHeap } from './wasm-heap.ts'
import { WasmKvStorage } from './wasm-kv-storage.ts'

/** A malloc that never reuses and ends after `size` bytes: a full 4 GiB heap would take the machine with it. */
class SmallModule {
  readonly HEAPU8: Uint8Array
  readonly live = new Set<number>()
  #next = 16

  constructor(size: number) {
    this.HEAPU8 = new Uint8Array(size)
  }

  _malloc(size: number): number {
    if (this.#next + size > this.HEAPU8.length) return 0
    const pointer = this.#next
    this.#next += Math.ceil(size / 16) * 16
    this.live.add(pointer)
    return pointer
  }

  _free(pointer: number): void {
    if (!this.live.delete(pointer)) throw new Error(`${pointer} is not allocated`)
  }
}

describe('WasmHeap', () => {
  it('names what it had no room for', () => {
    const heap = new WasmHeap(new SmallModule(1024))
    const allocate = (): unknown => heap.allocate(2000, 'a weight')
    expect(allocate).toThrow(InsufficientMemoryError)
    expect(allocate).toThrow(expect.objectContaining({ requiredBytes: 2000, availableBytes: 2 ** 32 - 1024 }))
    expect(allocate).toThrow('no room for a weight')
  })

  it('does not let a size wrap around 32 bits', () => {
    expect(() => new WasmHeap(new SmallModule(1024)).allocate(2 ** 32 + 8, 'a weight')).toThrow(InsufficientMemoryError)
  })

  it('gives aligned, disjoint scratch and uses it again', () => {
    const module = new SmallModule(10_000)
    const heap = new WasmHeap(module)
    const [a = 0, b = 0, c = 0] = heap.scratch(10, 0, 100)
    expect([a % 64, b % 64, c % 64]).toEqual([0, 0, 0])
    expect(b - a).toBeGreaterThanOrEqual(10)
    expect(heap.scratch(50)).toEqual([a])
    heap.scratch(2000)
    expect(module.live.size).toBe(1)
  })

  it('recovers after scratch that did not fit', () => {
    const heap = new WasmHeap(new SmallModule(10_000))
    heap.scratch(100)
    expect(() => heap.scratch(50_000)).toThrow(InsufficientMemoryError)
    expect(heap.scratch(100)).toHaveLength(1)
  })
})

describe('WasmKvStorage', () => {
  const layout = { dtype: 'float32' as const, numLayers: 4, numBlocks: 2, blockSize: 4, numKvHeads: 1, headDim: 4 } // 256 bytes a layer

  it('frees the layers it got when there is no room for all', () => {
    const module = new SmallModule(800)
    expect(() => new WasmKvStorage(new WasmHeap(module), layout, () => {})).toThrow(InsufficientMemoryError)
    expect(module.live.size).toBe(0)
  })

  it('frees every layer once', () => {
    const module = new SmallModule(8000)
    const kv = new WasmKvStorage(new WasmHeap(module), layout, () => {})
    expect(module.live.size).toBe(4)
    kv.dispose()
    kv.dispose()
    expect(module.live.size).toBe(0)
  })
})
