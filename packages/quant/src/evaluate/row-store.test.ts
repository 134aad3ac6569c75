import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { describe, expect, it } from 'vitest'
import { RowStore } from './row-store.ts'

describe('RowStore', () => {
  it('gives back what it was given, in memory and from its file, and removes the file', () => {
    const before = new Set(readdirSync(tmpdir()))
    const created = (): string[] =>
      readdirSync(tmpdir()).filter((name) => name.startsWith('octavo-rows-') && !before.has(name))
    const parts = [1, 5, 3, 7].map((length, p) => Float32Array.from({ length }, (_, i) => p + i / 8))
    const store = new RowStore(6 * 4)
    for (const part of parts) store.add(part)
    expect(store.fileBytes).toBe(10 * 4)
    expect(parts.map((_, i) => store.get(i))).toEqual(parts)
    expect(store.get(3)).toEqual(parts[3])
    expect(created()).toHaveLength(1)
    store[Symbol.dispose]()
    expect(created()).toEqual([])
  })

  it('needs no file within its budget', () => {
    using store = new RowStore(64)
    const values = Float32Array.of(1, 2)
    store.add(values)
    values[0] = 9
    expect(store.get(0)).toEqual(Float32Array.of(1, 2))
    expect(store.fileBytes).toBe(0)
  })
})
