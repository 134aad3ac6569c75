import type { RawBlock } from '../loading/raw-tensor.ts'
import type { DType } from '../tensor/dtype.ts'
import { groupedFormat, type Codebook, type GroupedFormat } from '../tensor/grouped-format.ts'
import { float16Table } from '../tensor/narrow-floats.ts'
import { codesIq1M, codesIq1S, codesIq2S, codesIq2Xs, codesIq2Xxs, codesIq3S, codesIq3Xxs } from './gguf-grid-codes.ts'

/**
 * How a block of GGUF becomes codes and scales of a grouped weight, value for value: every such block is a table's values times
 * a scale for some neighbours. The layouts and their arithmetic are ggml's (`ggml-quants.c`, `dequantize_row_*`).
 *
 * NOTE: scales are exact in float32 (a float16 times a few bits), and so is nothing lost against ggml's order of products.
 */
export interface BlockCodec {
  readonly format: GroupedFormat & { readonly groupSize: number }
  /** One code for each element of the block at `bytes[at …]`. */
  codes(bytes: Uint8Array, at: number, out: Uint8Array): void
  /** One scale for each group of it. */
  scales(bytes: Uint8Array, at: number, out: Float32Array): void
}

/** Q2_K is none of them: its values have a minimum that is no multiple of its scale. */
export type GroupedBlock = Exclude<RawBlock, 'q2_k'>

const iq4Values = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
/** A bit for the sign above the index into the magnitudes. */
const iq2Values = signed([8, 25, 43, 0])
const iq3XxsValues = signed([4, 12, 20, 28, 36, 44, 52, 62])
const iq3SValues = signed([1, 3, 5, 7, 9, 11, 13, 15])
/** -1, 0 and 1, shifted up or down by an eighth. */
const iq1Values = [-0.875, 0.125, 1.125, 0, -1.125, -0.125, 0.875, 0]

function signed(magnitudes: readonly number[]): number[] {
  return [...magnitudes, ...magnitudes.map((value) => (value === 0 ? 0 : -value))]
}

interface Shape {
  readonly bits: number
  readonly groupSize: number
  readonly codebook?: Codebook
  readonly scaleDtype?: DType
}

function codec(
  { bits, groupSize, codebook = 'integers', scaleDtype = 'float32' }: Shape,
  parts: Omit<BlockCodec, 'format'>,
): BlockCodec {
  return {
    format: { ...groupedFormat({ bits, codebook, groupSize, scaleDtype }), groupSize },
    ...parts,
  }
}

function float16At(bytes: Uint8Array, at: number): number {
  return float16Table()[bytes[at]! | (bytes[at + 1]! << 8)]!
}

/** The one scale of a block, a float16. */
function scaleAt(offset: number): BlockCodec['scales'] {
  return (bytes, at, out) => {
    out[0] = float16At(bytes, at + offset)
  }
}

/** Pairs of runs of `half` codes: low nibbles, then high ones. */
function nibbles(offset: number, half: number, numPairs: number): BlockCodec['codes'] {
  return (bytes, at, out) => {
    for (let pair = 0; pair < numPairs; pair++) {
      const from = at + offset + pair * half
      const to = 2 * pair * half
      for (let i = 0; i < half; i++) {
        out[to + i] = bytes[from + i]! & 15
        out[to + half + i] = bytes[from + i]! >>> 4
      }
    }
  }
}

/** Signed bytes as codes around 128. */
function signedBytes(offset: number, count: number): BlockCodec['codes'] {
  return (bytes, at, out) => {
    for (let i = 0; i < count; i++) out[i] = bytes[at + offset + i]! ^ 0x80
  }
}

export const blockCodecs: Readonly<Record<GroupedBlock, BlockCodec>> = {
  q8_1: codec({ bits: 8, groupSize: 32, scaleDtype: 'float16' }, { codes: signedBytes(4, 32), scales: scaleAt(0) }),
  q8_k: codec({ bits: 8, groupSize: 256 }, { codes: signedBytes(4, 256), scales: scalesQ8K }),
  q3_k: codec({ bits: 3, groupSize: 16 }, { codes: codesQ3K, scales: scalesQ3K }),
  iq4_nl: codec(
    { bits: 4, groupSize: 32, codebook: iq4Values, scaleDtype: 'float16' },
    { codes: nibbles(2, 16, 1), scales: scaleAt(0) },
  ),
  iq4_xs: codec({ bits: 4, groupSize: 32, codebook: iq4Values }, { codes: nibbles(8, 16, 8), scales: scalesIq4Xs }),
  iq3_xxs: codec({ bits: 4, groupSize: 32, codebook: iq3XxsValues }, { codes: codesIq3Xxs, scales: scalesIq3Xxs }),
  iq3_s: codec({ bits: 4, groupSize: 32, codebook: iq3SValues }, { codes: codesIq3S, scales: scalesIq3S }),
  iq2_xxs: codec({ bits: 3, groupSize: 32, codebook: iq2Values }, { codes: codesIq2Xxs, scales: scalesIq2Xxs }),
  iq2_xs: codec({ bits: 3, groupSize: 16, codebook: iq2Values }, { codes: codesIq2Xs, scales: scalesInNibbles(66) }),
  iq2_s: codec({ bits: 3, groupSize: 16, codebook: iq2Values }, { codes: codesIq2S, scales: scalesInNibbles(74) }),
  iq1_s: codec({ bits: 3, groupSize: 32, codebook: iq1Values }, { codes: codesIq1S, scales: scalesIq1S }),
  iq1_m: codec({ bits: 3, groupSize: 16, codebook: iq1Values }, { codes: codesIq1M, scales: scalesIq1M }),
  tq1_0: codec(
    { bits: 2, groupSize: 256, codebook: [-1, 0, 1, 2], scaleDtype: 'float16' },
    { codes: codesTq1, scales: scaleAt(52) },
  ),
  tq2_0: codec(
    { bits: 2, groupSize: 256, codebook: [-1, 0, 1, 2], scaleDtype: 'float16' },
    { codes: codesTq2, scales: scaleAt(64) },
  ),
  mxfp4: codec(
    { bits: 4, groupSize: 32, codebook: 'e2m1', scaleDtype: 'bfloat16' },
    { codes: nibbles(1, 16, 1), scales: scalesMxfp4 },
  ),
  nvfp4: codec(
    { bits: 4, groupSize: 16, codebook: 'e2m1', scaleDtype: 'bfloat16' },
    { codes: nibbles(4, 8, 4), scales: scalesNvfp4 },
  ),
  q1_0: codec(
    { bits: 2, groupSize: 128, codebook: [-1, 1, 0, 0], scaleDtype: 'float16' },
    { codes: codesQ1, scales: scaleAt(0) },
  ),
}

function scalesQ8K(bytes: Uint8Array, at: number, out: Float32Array): void {
  out[0] = new DataView(bytes.buffer, bytes.byteOffset + at).getFloat32(0, true)
}

/** Block: 32 bytes of third bits, 64 of bit pairs, 12 of 6-bit scales, d; a third bit that is set means: not four less. */
function codesQ3K(bytes: Uint8Array, at: number, out: Uint8Array): void {
  for (let run = 0; run < 8; run++) {
    const low = at + 32 + 32 * (run >>> 2)
    const shift = 2 * (run & 3)
    for (let i = 0; i < 32; i++)
      out[32 * run + i] = ((bytes[low + i]! >>> shift) & 3) | (((bytes[at + i]! >>> run) & 1) << 2)
  }
}

function scalesQ3K(bytes: Uint8Array, at: number, out: Float32Array): void {
  const d = float16At(bytes, at + 108)
  for (let j = 0; j < 16; j++) {
    const low = (bytes[at + 96 + (j & 7)]! >>> (4 * (j >>> 3))) & 15
    const high = (bytes[at + 104 + (j & 3)]! >>> (2 * (j >>> 2))) & 3
    out[j] = d * ((low | (high << 4)) - 32)
  }
}

function scalesIq4Xs(bytes: Uint8Array, at: number, out: Float32Array): void {
  const d = float16At(bytes, at)
  const high = bytes[at + 2]! | (bytes[at + 3]! << 8)
  for (let j = 0; j < 8; j++) {
    const low = (bytes[at + 4 + (j >>> 1)]! >>> (4 * (j & 1))) & 15
    out[j] = d * ((low | (((high >>> (2 * j)) & 3) << 4)) - 32)
  }
}

function scalesIq3Xxs(bytes: Uint8Array, at: number, out: Float32Array): void {
  const d = float16At(bytes, at)
  for (let j = 0; j < 8; j++) out[j] = d * (0.5 + (bytes[at + 69 + 4 * j]! >>> 4)) * 0.5
}

function scalesIq3S(bytes: Uint8Array, at: number, out: Float32Array): void {
  const d = float16At(bytes, at)
  for (let j = 0; j < 8; j++) out[j] = d * (1 + 2 * ((bytes[at + 106 + (j >>> 1)]! >>> (4 * (j & 1))) & 15))
}

function scalesIq2Xxs(bytes: Uint8Array, at: number, out: Float32Array): void {
  const d = float16At(bytes, at)
  for (let j = 0; j < 8; j++) out[j] = d * (0.5 + (bytes[at + 9 + 8 * j]! >>> 4)) * 0.25
}

function scalesInNibbles(offset: number): BlockCodec['scales'] {
  return (bytes, at, out) => {
    const d = float16At(bytes, at)
    for (let j = 0; j < 16; j++) out[j] = d * (0.5 + ((bytes[at + offset + (j >>> 1)]! >>> (4 * (j & 1))) & 15)) * 0.25
  }
}

function scalesIq1S(bytes: Uint8Array, at: number, out: Float32Array): void {
  const d = float16At(bytes, at)
  for (let j = 0; j < 8; j++) out[j] = d * (2 * ((bytes[at + 35 + 2 * j]! >>> 4) & 7) + 1)
}

/** The float16 lies in the upper nibbles of four words, whose other bits are scales of three bits. */
function scalesIq1M(bytes: Uint8Array, at: number, out: Float32Array): void {
  const words = [0, 1, 2, 3].map((i) => bytes[at + 48 + 2 * i]! | (bytes[at + 49 + 2 * i]! << 8))
  const d = float16Table()[words.reduce((bits, word, i) => bits | ((word >>> 12) << (4 * i)), 0)]!
  for (let j = 0; j < 16; j++) out[j] = d * (2 * ((words[j >>> 2]! >>> (3 * (j & 3))) & 7) + 1)
}

/** Digits of base 3, five in a byte, four in the last ones: the first is the most significant, as a fraction of 256. */
function codesTq1(bytes: Uint8Array, at: number, out: Uint8Array): void {
  let to = 0
  for (const [first, width, numDigits] of [
    [0, 32, 5],
    [32, 16, 5],
    [48, 4, 4],
  ] as const) {
    for (let digit = 0, power = 1; digit < numDigits; digit++, power *= 3)
      for (let i = 0; i < width; i++) out[to++] = (((bytes[at + first + i]! * power) & 255) * 3) >>> 8
  }
}

function codesTq2(bytes: Uint8Array, at: number, out: Uint8Array): void {
  for (let run = 0; run < 8; run++)
    for (let i = 0; i < 32; i++) out[32 * run + i] = (bytes[at + 32 * (run >>> 2) + i]! >>> (2 * (run & 3))) & 3
}

/** 2^(e - 127); the last is NaN in OCP's specification. */
function scalesMxfp4(bytes: Uint8Array, at: number, out: Float32Array): void {
  const exponent = bytes[at]!
  out[0] = exponent === 255 ? NaN : 2 ** (exponent - 127)
}

/** E4M3 without a sign, whose last code is 0. */
function scalesNvfp4(bytes: Uint8Array, at: number, out: Float32Array): void {
  for (let j = 0; j < 4; j++) {
    const code = bytes[at + j]!
    const exponent = (code >>> 3) & 15
    const fraction = (code & 7) / 8
    const value = exponent === 0 ? fraction * 2 ** -6 : (1 + fraction) * 2 ** (exponent - 7)
    out[j] = code === 0x7f ? 0 : value
  }
}

function codesQ1(bytes: Uint8Array, at: number, out: Uint8Array): void {
  for (let i = 0; i < 128; i++) out[i] = (bytes[at + 2 + (i >>> 3)]! >>> (i & 7)) & 1
}
