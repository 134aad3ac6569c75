import { expect, it } from 'vitest'
import { reduceInto } from './reduce.ts'
import { createSharedMemory } from './shared-memory.ts'
import { createSumKernel } from './sum-kernel.ts'

it.each([
  [1, 16],
  [2, 1],
  [3, 100],
  [5, 4096],
])('%i parts of %i numbers have the bits of a loop', (numParts, length) => {
  const memory = createSharedMemory(1 << 20)
  const sum = createSumKernel(memory)
  const stride = 64 * 300
  const target = stride * numParts
  const parts = Array.from({ length: numParts }, (_, part) => {
    const view = new Float32Array(memory.buffer, part * stride, length)
    for (let i = 0; i < length; i++) view[i] = Math.sin(i * 12.9 + part) * 10 ** (i % 9)
    return view
  })
  const expected = new Float32Array(length)
  reduceInto(expected, parts, 'sum')
  sum({ target, first: 0, stride, numParts, numBytes: length * 4 })
  expect([...new Float32Array(memory.buffer, target, length)]).toEqual([...expected])
  const after = new Uint8Array(memory.buffer, target + Math.ceil((length * 4) / 64) * 64)
  expect(after.every((byte) => byte === 0)).toBe(true)
})

it('adds nothing up', () => {
  const memory = createSharedMemory(1 << 16)
  createSumKernel(memory)({ target: 64, first: 0, stride: 64, numParts: 2, numBytes: 0 })
  expect(new Uint8Array(memory.buffer).every((byte) => byte === 0)).toBe(true)
})
