// Codes of ggml's IQ1 to IQ3: words of a grid name 8 (IQ3: 4) magnitudes at once, signs and shifts stand beside them. A code is the
// index of the magnitude with the sign (IQ1: the shift) above it.
import { gridOf } from './gguf-grids.ts'

/** Seven signs; the eighth makes their number even. */
function allSigns(seven: number): number {
  let parity = seven ^ (seven >>> 4)
  parity ^= parity >>> 2
  parity ^= parity >>> 1
  return seven | ((parity & 1) << 7)
}

function uint16At(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8)
}

function uint32At(bytes: Uint8Array, at: number): number {
  return (uint16At(bytes, at) | (uint16At(bytes, at + 2) << 16)) >>> 0
}

interface Word {
  readonly grid: Uint8Array
  readonly index: number
  /** A bit for each magnitude. */
  readonly signs: number
}

/** Eight magnitudes of three kinds. */
function putEight({ grid, index, signs }: Word, out: Uint8Array, to: number): void {
  const from = 8 * index
  for (let i = 0; i < 8; i++) out[to + i] = grid[from + i]! | (((signs >>> i) & 1) << 2)
}

/** Four magnitudes of eight kinds. */
function putFour({ grid, index, signs }: Word, out: Uint8Array, to: number): void {
  const from = 4 * index
  for (let i = 0; i < 4; i++) out[to + i] = grid[from + i]! | (((signs >>> i) & 1) << 3)
}

/** Block: d, then for each 32: four words of 8 bits, four times 7 signs, 4 bits of scale. */
export function codesIq2Xxs(bytes: Uint8Array, at: number, out: Uint8Array): void {
  const grid = gridOf('iq2_xxs')
  for (let j = 0; j < 32; j++) {
    const group = at + 2 + 8 * (j >>> 2)
    const signs = allSigns((uint32At(bytes, group + 4) >>> (7 * (j & 3))) & 127)
    putEight({ grid, index: bytes[group + (j & 3)]!, signs }, out, 8 * j)
  }
}

/** Block: d, then words of 9 bits with 7 signs, then scales. */
export function codesIq2Xs(bytes: Uint8Array, at: number, out: Uint8Array): void {
  const grid = gridOf('iq2_xs')
  for (let j = 0; j < 32; j++) {
    const word = uint16At(bytes, at + 2 + 2 * j)
    putEight({ grid, index: word & 511, signs: allSigns(word >>> 9) }, out, 8 * j)
  }
}

/** Block: d, lower 8 bits of words, signs, upper 2 bits, scales. */
export function codesIq2S(bytes: Uint8Array, at: number, out: Uint8Array): void {
  const grid = gridOf('iq2_s')
  for (let j = 0; j < 32; j++) {
    const high = (bytes[at + 66 + (j >>> 2)]! >>> (2 * (j & 3))) & 3
    putEight({ grid, index: bytes[at + 2 + j]! | (high << 8), signs: bytes[at + 34 + j]! }, out, 8 * j)
  }
}

/** Block: d, words of 8 bits, then for each 32: four times 7 signs and 4 bits of scale. */
export function codesIq3Xxs(bytes: Uint8Array, at: number, out: Uint8Array): void {
  const grid = gridOf('iq3_xxs')
  for (let j = 0; j < 64; j++) {
    const eight = j >>> 1
    const seven = (uint32At(bytes, at + 66 + 4 * (eight >>> 2)) >>> (7 * (eight & 3))) & 127
    putFour({ grid, index: bytes[at + 2 + j]!, signs: allSigns(seven) >>> (4 * (j & 1)) }, out, 4 * j)
  }
}

/** Block: d, lower 8 bits of words, ninth bits, signs, scales. */
export function codesIq3S(bytes: Uint8Array, at: number, out: Uint8Array): void {
  const grid = gridOf('iq3_s')
  for (let j = 0; j < 64; j++) {
    const high = (bytes[at + 66 + (j >>> 3)]! >>> (j & 7)) & 1
    const signs = bytes[at + 74 + (j >>> 1)]! >>> (4 * (j & 1))
    putFour({ grid, index: bytes[at + 2 + j]! | (high << 8), signs }, out, 4 * j)
  }
}

/** Block: d, lower 8 bits of words, then for each 32: four times 3 upper bits, 3 bits of scale, the shift. */
export function codesIq1S(bytes: Uint8Array, at: number, out: Uint8Array): void {
  const grid = gridOf('iq1_s')
  for (let j = 0; j < 32; j++) {
    const more = uint16At(bytes, at + 34 + 2 * (j >>> 2))
    const high = (more >>> (3 * (j & 3))) & 7
    putEight({ grid, index: bytes[at + 2 + j]! | (high << 8), signs: more & 0x8000 ? 255 : 0 }, out, 8 * j)
  }
}

/** Block: lower 8 bits of words, then nibbles of 3 upper bits and a shift, then scales with d. */
export function codesIq1M(bytes: Uint8Array, at: number, out: Uint8Array): void {
  const grid = gridOf('iq1_s')
  for (let j = 0; j < 32; j++) {
    const more = bytes[at + 32 + (j >>> 1)]! >>> (4 * (j & 1))
    putEight({ grid, index: bytes[at + j]! | ((more & 7) << 8), signs: more & 8 ? 255 : 0 }, out, 8 * j)
  }
}
