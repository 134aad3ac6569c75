/**
 * What a KV cache keeps of float32 rows, the reference for every backend: bfloat16 is rounded to nearest even; int8 has
 * one scale per token and head, `largest magnitude / 127` in float32, and codes `value * (127 / largest)` rounded to nearest even.
 * A head whose largest magnitude is below 2^-100 becomes zeros; one with a NaN or an infinity reads back as NaN.
 */
import { float32ToBfloat16 } from './narrow-floats.ts'
import type { KvDType } from './kv-storage.ts'

const smallestQuantized = 2 ** -100

/** The rows `[numSlots, numHeads * headDim]` of one array of a layer. */
export interface KvArray {
  /** The rows themselves where they are kept as float32. */
  readonly floats: Float32Array | null
  /** Stores `values[at]` and what follows as the row of `slot`. */
  write(slot: number, values: Float32Array, at: number): void
  read(slot: number, out: Float32Array, at: number): void
  copy(fromSlot: number, toSlot: number, count: number): void
}

interface KvArrayShape {
  readonly numSlots: number
  readonly numKvHeads: number
  readonly headDim: number
}

export function createKvArray(dtype: KvDType, shape: KvArrayShape): KvArray {
  const width = shape.numKvHeads * shape.headDim
  switch (dtype) {
    case 'float32':
      return float32Array(new Float32Array(shape.numSlots * width), width)
    case 'bfloat16':
      return bfloat16Array(new Uint16Array(shape.numSlots * width), width)
    case 'int8':
      return int8Array(shape)
  }
}

function float32Array(stored: Float32Array, width: number): KvArray {
  return {
    floats: stored,
    write: (slot, values, at) => stored.set(values.subarray(at, at + width), slot * width),
    read: (slot, out, at) => out.set(stored.subarray(slot * width, (slot + 1) * width), at),
    copy: (from, to, count) => void stored.copyWithin(to * width, from * width, (from + count) * width),
  }
}

function bfloat16Array(stored: Uint16Array, width: number): KvArray {
  return {
    floats: null,
    write(slot, values, at) {
      for (let i = 0; i < width; i++) stored[slot * width + i] = float32ToBfloat16(values[at + i]!)
    },
    read(slot, out, at) {
      const bits = new Uint32Array(out.buffer, out.byteOffset + at * out.BYTES_PER_ELEMENT, width)
      for (let i = 0; i < width; i++) bits[i] = stored[slot * width + i]! << 16
    },
    copy: (from, to, count) => void stored.copyWithin(to * width, from * width, (from + count) * width),
  }
}

function int8Array({ numSlots, numKvHeads, headDim }: KvArrayShape): KvArray {
  const codes = new Int8Array(numSlots * numKvHeads * headDim)
  const scales = new Float32Array(numSlots * numKvHeads)
  return {
    floats: null,
    write(slot, values, at) {
      for (let head = 0; head < numKvHeads; head++) {
        const row = slot * numKvHeads + head
        const from = values.subarray(at + head * headDim, at + (head + 1) * headDim)
        scales[row] = encodeHead(from, codes.subarray(row * headDim, (row + 1) * headDim))
      }
    },
    read(slot, out, at) {
      for (let i = 0; i < numKvHeads * headDim; i++) {
        const scale = scales[slot * numKvHeads + Math.floor(i / headDim)]!
        out[at + i] = codes[slot * numKvHeads * headDim + i]! * scale
      }
    },
    copy(from, to, count) {
      const width = numKvHeads * headDim
      codes.copyWithin(to * width, from * width, (from + count) * width)
      scales.copyWithin(to * numKvHeads, from * numKvHeads, (from + count) * numKvHeads)
    },
  }
}

/** Returns the scale. */
function encodeHead(values: Float32Array, codes: Int8Array): number {
  let largest = 0
  for (const value of values) largest = Math.max(largest, Math.abs(value)) // NaN if any is
  codes.fill(0)
  if (largest < smallestQuantized) return 0
  if (Number.isFinite(largest)) {
    const inverse = Math.fround(127 / largest)
    for (let i = 0; i < values.length; i++) codes[i] = roundToEven(Math.fround(values[i]! * inverse))
  }
  return Math.fround(largest / 127)
}

/** |value| < 2^51; adding 1.5 * 2^52 leaves no fraction bits. */
function roundToEven(value: number): number {
  return value + 6_755_399_441_055_744 - 6_755_399_441_055_744
}
