import { expect, it } from 'vitest'
import { AbortCell, abortCellBytes } from './abort-cell.ts'

it('keeps the first reason, as far as it has room', () => {
  const cell = new AbortCell(new SharedArrayBuffer(2 * abortCellBytes), abortCellBytes)
  expect(cell.isSet).toBe(false)
  cell.set({ reason: 'ü'.repeat(abortCellBytes), abortedBy: 3 })
  cell.set({ reason: 'later', abortedBy: null })
  expect(cell.isSet).toBe(true)
  expect(cell.read()).toEqual({ reason: 'ü'.repeat((abortCellBytes - 16) / 2), abortedBy: 3 })
})

it('knows that it was no rank', () => {
  const cell = new AbortCell(new SharedArrayBuffer(abortCellBytes))
  cell.set({ reason: 'a watchdog', abortedBy: null })
  expect(cell.read()).toEqual({ reason: 'a watchdog', abortedBy: null })
})

it('does not wait for a writer that is no more', () => {
  const memory = new SharedArrayBuffer(abortCellBytes)
  new Int32Array(memory)[0] = 1
  const cell = new AbortCell(memory)
  expect(cell.isSet).toBe(true)
  expect(cell.read().reason).toContain('ended before it could say why')
})
