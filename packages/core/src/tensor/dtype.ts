// The one table of formats. The build scripts of the wasm kernels and of the native addon read this file as it is: it
// imports nothing, and its types can be erased.

/** Dtypes of dense weights and of the KV cache; activations are always float32 tensors. */
export type DType = 'float32' | 'float16' | 'bfloat16'

/** One field of a block, in file order. */
export interface BlockField {
  readonly name: string
  /** From the block's start, in bytes. */
  readonly offset: number
  readonly bytes: number
  readonly dtype: 'float16' | 'uint8' | 'int8'
}

interface FormatLayout {
  readonly blockElements: number
  readonly blockBytes: number
  /** None where an element is its own block. */
  readonly fields: readonly BlockField[]
}

type FieldSpec = readonly [name: string, dtype: BlockField['dtype'], bytes: number]

function dense(bytes: number): FormatLayout {
  return { blockElements: 1, blockBytes: bytes, fields: [] }
}

/** The fields lie one behind the other. */
function blocks(blockElements: number, specs: readonly FieldSpec[]): FormatLayout {
  const fields: BlockField[] = []
  let offset = 0
  for (const [name, dtype, bytes] of specs) {
    fields.push({ name, offset, bytes, dtype })
    offset += bytes
  }
  return { blockElements, blockBytes: offset, fields }
}

const d: FieldSpec = ['d', 'float16', 2]
const m: FieldSpec = ['m', 'float16', 2]

const layouts = {
  float32: dense(4),
  float16: dense(2),
  bfloat16: dense(2),
  q8_0: blocks(32, [d, ['codes', 'int8', 32]]),
  q4_0: blocks(32, [d, ['nibbles', 'uint8', 16]]),
  q4_1: blocks(32, [d, m, ['nibbles', 'uint8', 16]]),
  q5_0: blocks(32, [d, ['high', 'uint8', 4], ['nibbles', 'uint8', 16]]),
  q5_1: blocks(32, [d, m, ['high', 'uint8', 4], ['nibbles', 'uint8', 16]]),
  q4_k: blocks(256, [d, m, ['scales', 'uint8', 12], ['nibbles', 'uint8', 128]]),
  q5_k: blocks(256, [d, m, ['scales', 'uint8', 12], ['high', 'uint8', 32], ['nibbles', 'uint8', 128]]),
  q6_k: blocks(256, [['nibbles', 'uint8', 128], ['high', 'uint8', 64], ['scales', 'int8', 16], d]),
} satisfies Record<string, FormatLayout>

/**
 * How the elements of a row lie in memory. Block formats are GGUF's, byte for byte (ggml `ggml-common.h`): a row of
 * `cols` elements is `cols / blockElements` blocks of `blockBytes`. What the fields mean is said at `dequantizeRow`.
 */
export type WeightFormat = keyof typeof layouts

/** Formats of GGUF's blocks: integer codes and scales. */
export type BlockFormat = Exclude<WeightFormat, DType>

export const weightFormats: Readonly<Record<WeightFormat, FormatLayout>> = layouts

/** All formats, dense ones first. */
export const allWeightFormats: readonly WeightFormat[] = Object.keys(layouts).filter((name): name is WeightFormat =>
  Object.hasOwn(layouts, name),
)

/** Bytes of one row of `cols` elements; `cols` must be a multiple of the format's block. */
export function rowBytes(format: WeightFormat, cols: number): number {
  const { blockElements, blockBytes } = weightFormats[format]
  return (cols / blockElements) * blockBytes
}

export function isDense(format: WeightFormat): format is DType {
  return weightFormats[format].blockElements === 1
}
