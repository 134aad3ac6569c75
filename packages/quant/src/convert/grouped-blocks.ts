// GGUF's blocks without a minimum and grouped weights of integers, one as the other, value for value.
import { encodeRow, rowBytes, weightFormats, widenRow, type BlockFormat } from '@octavo/core/loading'
import { float32ToFloat16, groupedFormat, numGroups, planesOf, QuantizationError } from '@octavo/core/quantization'
import type { GroupedFormat, GroupedWeight } from '@octavo/core/quantization'

const blockSize = 32

/** Bits of a code, and where the codes of the format lie. */
const blockBits = { q4_0: 4, q5_0: 5, q8_0: 8 } as const
export type SymmetricBlock = keyof typeof blockBits

export function isSymmetricBlock(format: string): format is SymmetricBlock {
  return Object.hasOwn(blockBits, format)
}

export function blockFormatOf(format: SymmetricBlock): GroupedFormat {
  return groupedFormat({ bits: blockBits[format], groupSize: blockSize, scaleDtype: 'float16' })
}

interface Blocks {
  readonly format: SymmetricBlock
  readonly rows: number
  readonly cols: number
  readonly bytes: Uint8Array
}

export function blocksToGrouped({ format, rows, cols, bytes }: Blocks): GroupedWeight {
  const grouped = blockFormatOf(format)
  const spec = { format: grouped, rows, cols }
  const { codes, scales, sizeInBytes } = planesOf(spec)
  const planes = new Uint8Array(sizeInBytes)
  const { blockBytes } = weightFormats[format]
  const block = new Uint8Array(blockSize)
  for (let row = 0, at = 0; row < rows; row++) {
    const writer = new CodeWriter(planes, codes.offset + row * codes.stride, grouped.bits)
    for (let group = 0; group < cols / blockSize; group++, at += blockBytes) {
      planes.set(bytes.subarray(at, at + 2), scales.offset + row * scales.stride + 2 * group)
      readBlock(format, bytes.subarray(at, at + blockBytes), block)
      for (const code of block) writer.put(code)
    }
    writer.end()
  }
  return { ...spec, planes }
}

/**
 * The smallest format of blocks that has all values of this weight.
 * @throws QuantizationError naming why there is none
 */
export function blockFor(weight: GroupedWeight, module: string): SymmetricBlock {
  const { format, cols } = weight
  const refuse = (reason: string): never => {
    throw new QuantizationError(`no GGUF type has its values exactly: ${reason}. Say --type to quantize it anew`, {
      module,
    })
  }
  const { bits, codebook, groupSize, hasOrder } = format
  if (codebook !== 'integers') refuse('its codes are no integers')
  if (hasOrder) refuse('its groups are no neighbouring columns (desc_act)')
  if (cols % blockSize !== 0) refuse(`its ${cols} columns are no multiple of ${blockSize}`)
  if (groupSize !== 'channel' && groupSize % blockSize !== 0)
    refuse(`its groups have ${groupSize} columns, no multiple of ${blockSize}`)
  const middle = 2 ** (bits - 1)
  const { zeros } = planesOf(weight)
  if (zeros !== null) {
    const plane = weight.planes.subarray(zeros.offset, zeros.offset + zeros.sizeInBytes)
    const other = plane.find((zero) => zero !== middle)
    if (other !== undefined)
      refuse(`it has the zero point ${other}, and the minimum of a block is a float16 of its own, rounded`)
  }
  const inexact = scalesOf(weight).find((scale) => widen(float32ToFloat16(scale)) !== scale)
  if (inexact !== undefined) refuse(`the scale ${inexact} is no float16`)
  return bits <= 4 ? 'q4_0' : bits === 5 ? 'q5_0' : 'q8_0'
}

/** Of a weight that `blockFor` has found `format` for. */
export function groupedToBlocks(weight: GroupedWeight, format: SymmetricBlock): Uint8Array {
  const { rows, cols } = weight
  const { bits, groupSize } = weight.format
  const { codes } = planesOf(weight)
  const scales = scalesOf(weight)
  const groups = numGroups(weight.format, cols)
  const out = new Uint8Array(rows * rowBytes(format, cols))
  const { blockBytes } = weightFormats[format]
  const shift = 2 ** (blockBits[format] - 1) - 2 ** (bits - 1)
  const block = new Uint8Array(blockSize)
  const mask = 2 ** bits - 1
  for (let row = 0, at = 0; row < rows; row++) {
    const start = codes.offset + row * codes.stride
    for (let col = 0; col < cols; col += blockSize, at += blockBytes) {
      const group = groupSize === 'channel' ? 0 : Math.floor(col / groupSize)
      encodeRow('float16', scales.subarray(row * groups + group, row * groups + group + 1), out, at)
      for (let i = 0; i < blockSize; i++) {
        const bit = (col + i) * bits
        const byte = start + (bit >>> 3)
        const code = ((weight.planes[byte]! | (weight.planes[byte + 1]! << 8)) >>> (bit & 7)) & mask
        block[i] = code + shift
      }
      writeBlock(format, block, out.subarray(at, at + blockBytes))
    }
  }
  return out
}

/** `[rows, groups]` */
export function scalesOf(weight: GroupedWeight): Float32Array {
  const { format, rows, cols, planes } = weight
  const { scales } = planesOf(weight)
  const values = new Float32Array(rows * numGroups(format, cols))
  widenRow(format.scaleDtype, planes.subarray(scales.offset, scales.offset + scales.sizeInBytes), values, values.length)
  return values
}

function widen(bits: number): number {
  const value = new Float32Array(1)
  widenRow('float16', Uint8Array.of(bits, bits >>> 8), value, 1)
  return value[0]!
}

/** Codes around the middle: of q8_0 the signed bytes plus 128. */
function readBlock(format: SymmetricBlock, bytes: Uint8Array, out: Uint8Array): void {
  if (format === 'q8_0') {
    for (let i = 0; i < blockSize; i++) out[i] = bytes[2 + i]! ^ 0x80
    return
  }
  const nibbles = format === 'q5_0' ? 6 : 2
  for (let i = 0; i < 16; i++) {
    out[i] = bytes[nibbles + i]! & 15
    out[16 + i] = bytes[nibbles + i]! >>> 4
  }
  if (format === 'q5_0') for (let i = 0; i < blockSize; i++) out[i]! |= ((bytes[2 + (i >>> 3)]! >>> (i & 7)) & 1) << 4
}

function writeBlock(format: SymmetricBlock, codes: Uint8Array, out: Uint8Array): void {
  if (format === 'q8_0') {
    for (let i = 0; i < blockSize; i++) out[2 + i] = codes[i]! ^ 0x80
    return
  }
  const nibbles = format === 'q5_0' ? 6 : 2
  for (let i = 0; i < 16; i++) out[nibbles + i] = (codes[i]! & 15) | ((codes[16 + i]! & 15) << 4)
  if (format === 'q5_0') for (let i = 0; i < blockSize; i++) out[2 + (i >>> 3)]! |= (codes[i]! >>> 4) << (i & 7)
}

/** A stream of codes, lowest bit first. */
class CodeWriter {
  readonly #out: Uint8Array
  readonly #bits: number
  #at: number
  #pending = 0
  #numPending = 0

  constructor(out: Uint8Array, at: number, bits: number) {
    this.#out = out
    this.#at = at
    this.#bits = bits
  }

  put(code: number): void {
    this.#pending |= code << this.#numPending
    this.#numPending += this.#bits
    for (; this.#numPending >= 8; this.#numPending -= 8, this.#pending >>>= 8) this.#out[this.#at++] = this.#pending
  }

  end(): void {
    if (this.#numPending > 0) this.#out[this.#at++] = this.#pending
  }
}

/** Why a format of blocks is no grouped weight. */
export function refuseBlocks(format: BlockFormat, module: string): never {
  throw new QuantizationError(
    `its ${format} blocks have a minimum or scales of their own kind, which no other layout has exactly; convert the original checkpoint, or to safetensors`,
    { module },
  )
}
