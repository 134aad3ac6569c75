import type { ResponseObject } from '@octavo/sdk/protocol'
import { describe, expect, it } from 'vitest'
import { createMemoryResponseStore } from './memory-response-store.ts'
import type { StoredResponse } from './response-store.ts'

function stored(id: string, size = 1): StoredResponse {
  return { response: { id } as ResponseObject, items: [], numOwnItems: 0, events: null, itemsSize: 0, size }
}

describe('a store in memory', () => {
  it('has what was put, by tenant', async () => {
    const store = createMemoryResponseStore()
    expect(await store.put('a', stored('x', 5))).toBe(true)
    expect(await store.put(null, stored('x', 7))).toBe(true)
    expect(await store.get('a', 'x')).toEqual(stored('x', 5))
    expect(await store.get(null, 'x')).toEqual(stored('x', 7))
    expect(await store.get('b', 'x')).toBeNull()
    expect(await store.delete('b', 'x')).toBe(false)
    expect(await store.delete('a', 'x')).toBe(true)
    expect(await store.get('a', 'x')).toBeNull()
    expect(await store.get(null, 'x')).not.toBeNull()
  })

  it('lets go what was not used for the longest time, by count and by bytes', async () => {
    for (const limits of [{ maxResponses: 3 }, { maxBytes: 30 }]) {
      const store = createMemoryResponseStore(limits)
      for (const id of ['a', 'b', 'c']) await store.put(null, stored(id, 10))
      await store.get(null, 'a')
      await store.put(null, stored('b', 9))
      await store.put(null, stored('d', 10))
      expect(await store.get(null, 'c')).toBeNull()
      for (const id of ['a', 'b', 'd']) expect(await store.get(null, id)).not.toBeNull()
    }
  })

  it('counts what takes the place of another once', async () => {
    const store = createMemoryResponseStore({ maxBytes: 30 })
    await store.put(null, stored('kept', 10))
    for (let size = 1; size <= 20; size++) await store.put(null, stored('x', size))
    expect(await store.get(null, 'kept')).not.toBeNull()
  })

  it('does not take what is too large', async () => {
    const store = createMemoryResponseStore({ maxBytes: 30 })
    await store.put(null, stored('x', 10))
    expect(await store.put(null, stored('y', 31))).toBe(false)
    expect(await store.put(null, stored('x', 31))).toBe(false)
    expect(await store.get(null, 'x')).toBeNull()
    expect(await createMemoryResponseStore({ maxResponses: 0 }).put(null, stored('x'))).toBe(false)
  })

  it('takes from the tenant that has most where all have too much', async () => {
    const store = createMemoryResponseStore({ maxBytes: 60, maxTotalBytes: 100 })
    await store.put('small', stored('x', 10))
    for (let i = 0; i < 5; i++) await store.put('large', stored(`l${i}`, 12))
    for (let i = 0; i < 4; i++) await store.put('new', stored(`n${i}`, 10))
    expect(await store.get('small', 'x')).not.toBeNull()
    expect(await store.get('large', 'l0')).toBeNull()
    expect(await store.get('large', 'l1')).not.toBeNull()
  })

  it('forgets what is too old', async () => {
    let time = 0
    const store = createMemoryResponseStore({ maxAgeMs: 1000, maxTotalBytes: 10, now: () => time })
    await store.put(null, stored('x', 6))
    time = 999
    expect(await store.get(null, 'x')).not.toBeNull()
    time = 1000
    expect(await store.get(null, 'x')).toBeNull()
    await store.put('a', stored('y', 6))
    time = 3000
    // Its room is free, though nobody has asked for it since.
    await store.put('b', stored('z', 4))
    expect(await store.put('b', stored('w', 6))).toBe(true)
    expect(await store.get('b', 'z')).not.toBeNull()
  })
})
