import { InvalidConfigError } from '@octavo/core'
import { abortCellBytes } from './abort-cell.ts'
import { roundUp } from './round-up.ts'
import { createSharedMemory } from './shared-memory.ts'
import type { SharedMemory } from './shared-memory.ts'

/** What the launching thread makes and hands to each rank, by `workerData` or a message. */
export interface ThreadGroupHandle {
  readonly worldSize: number
  readonly memory: SharedMemory
}

/** A cache line: what different ranks write lies in different ones. */
export const lineBytes = 64
/** Of a collective, per rank and round. */
export const chunkBytes = 256 * 1024
/** A message's head in a ring; messages start at multiples of it. */
export const messageAlignment = 16

const maxRingBytes = 256 * 1024
const minRingBytes = 16 * 1024
const maxRingsBytes = 16 * 1024 * 1024
/** Groups as large as the world that fit beside it; a mesh needs four at most. */
const maxGroups = 8

/**
 * Where the parts of a group lie, in bytes from its start:
 *
 *     barrier | arrivals of p ranks | slots: 2 × p × (head, chunk) | sums of p ranks | rings: p × p × (counters, bytes)
 */
export interface GroupLayout {
  readonly arrivals: number
  readonly slots: number
  readonly slotHeadBytes: number
  readonly slotBytes: number
  readonly sums: number
  readonly rings: number
  readonly ringBytes: number
  readonly totalBytes: number
}

export function groupLayout(size: number): GroupLayout {
  const slotHeadBytes = roundUp(8 + 4 * size, lineBytes)
  const slotBytes = slotHeadBytes + chunkBytes
  const ringBytes = ringBytesFor(size)
  const arrivals = lineBytes
  const slots = arrivals + size * lineBytes
  const sums = slots + 2 * size * slotBytes
  const rings = sums + size * chunkBytes
  const totalBytes = rings + size * size * (lineBytes + ringBytes)
  return { arrivals, slots, slotHeadBytes, slotBytes, sums, rings, ringBytes, totalBytes }
}

/** A power of two, so that positions may count past 2^32; many ranks have smaller ones. */
function ringBytesFor(size: number): number {
  let bytes = maxRingBytes
  while (bytes > minRingBytes && bytes * size * size > maxRingsBytes) bytes /= 2
  return bytes
}

/** The world's own part: the abort cell, then a bell per rank. */
export const bellsOffset = abortCellBytes

export function groupsOffset(worldSize: number): number {
  return bellsOffset + worldSize * lineBytes
}

/** Called once, on the thread that starts the ranks. */
export function createThreadGroup(worldSize: number): ThreadGroupHandle {
  if (!Number.isSafeInteger(worldSize) || worldSize < 1 || worldSize > maxThreadRanks)
    throw new InvalidConfigError(
      'worldSize',
      `is ${worldSize}; ranks as threads of a process are 1 to ${maxThreadRanks}. Use MPI for more.`,
    )
  const bytes = groupsOffset(worldSize) + (1 + maxGroups) * groupLayout(worldSize).totalBytes
  return { worldSize, memory: createSharedMemory(bytes) }
}

/** So many have their rings and slots in 1 GB. */
export const maxThreadRanks = 64
