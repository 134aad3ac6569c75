import { instantiate } from './shared-memory.ts'
import type { SharedMemory } from './shared-memory.ts'

/** Bytes that the kernel adds per turn: one cache line. */
export const sumBlockBytes = 64

/** Byte offsets; all but `numBytes` multiples of `sumBlockBytes`. What lies behind `numBytes` up to a whole block is overwritten. */
export interface SumRequest {
  readonly target: number
  /** Of the first part; the others lie `stride` bytes apart. */
  readonly first: number
  readonly stride: number
  readonly numParts: number
  readonly numBytes: number
}

/** `((part0 + part1) + part2) + …` of float32. */
export type SumKernel = (request: SumRequest) => void

/** Eight times as fast as a loop in JavaScript at 1 MB, and the same bits. */
export function createSumKernel(memory: SharedMemory): SumKernel {
  const sum = instantiate(sumModule(), memory)['sum'] as (...numbers: number[]) => void
  return ({ target, first, stride, numParts, numBytes }) => {
    if (numBytes > 0) sum(target, first, stride, numParts, numBytes)
  }
}

// Opcodes and types of WebAssembly's binary format.
const i32 = 0x7f
const v128 = 0x7b
const get = (local: number) => [0x20, local]
const set = (local: number) => [0x21, local]
const constant = (value: number) => [0x41, value]
const add = 0x6a
const subtract = 0x6b
const isLessUnsigned = 0x49
const loop = [0x03, 0x40]
const whenTrue = [0x04, 0x40]
const end = 0x0b
const branchIf = (depth: number) => [0x0d, depth]
/** Aligned to 16 bytes. */
const loadVector = (offset: number) => [0xfd, 0x00, 4, offset]
const storeVector = (offset: number) => [0xfd, 0x0b, 4, offset]
const addFloats = [0xfd, 0xe4, 0x01]

const section = (id: number, content: readonly number[]) => [id, ...unsigned(content.length), ...content]
const name = (text: string) => [text.length, ...Buffer.from(text)]

/** A number in the format's variable length. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)]
}

function sumModule(): Uint8Array<ArrayBuffer> {
  const [target, first, stride, numParts, numBytes, stop, part, left] = [0, 1, 2, 3, 4, 5, 6, 7] as const
  const sums = [8, 9, 10, 11]
  const offsetOf = (i: number) => i * 16
  const advance = (local: number, by: readonly number[]) => [...get(local), ...by, add, ...set(local)]
  const body = [
    // stop = target + numBytes
    ...[...get(target), ...get(numBytes), add, ...set(stop)],
    ...loop,
    // sums = the first part's four vectors; part = first; left = numParts - 1
    ...sums.flatMap((sum, i) => [...get(first), ...loadVector(offsetOf(i)), ...set(sum)]),
    ...[...get(first), ...set(part), ...get(numParts), ...constant(1), subtract, ...set(left)],
    // while (left) { part += stride; sums += the part's vectors; left-- }
    ...[...get(left), ...whenTrue, ...loop],
    ...advance(part, get(stride)),
    ...sums.flatMap((sum, i) => [...get(sum), ...get(part), ...loadVector(offsetOf(i)), ...addFloats, ...set(sum)]),
    ...[...get(left), ...constant(1), subtract, ...set(left), ...get(left), ...branchIf(0)],
    ...[end, end],
    ...sums.flatMap((sum, i) => [...get(target), ...get(sum), ...storeVector(offsetOf(i))]),
    // target += 64, first += 64; 64 as a signed number takes two bytes
    ...advance(first, [0x41, 0xc0, 0x00]),
    ...advance(target, [0x41, 0xc0, 0x00]),
    ...[...get(target), ...get(stop), isLessUnsigned, ...branchIf(0)],
    ...[end, end],
  ]
  const code = [2, 3, i32, 4, v128, ...body]
  const maxPages = unsigned(65_536)
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 5, i32, i32, i32, i32, i32, 0]),
    ...section(2, [1, ...name('env'), ...name('memory'), 0x02, 0x03, 0, ...maxPages]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('sum'), 0x00, 0]),
    ...section(10, [1, ...unsigned(code.length), ...code]),
  ])
}
