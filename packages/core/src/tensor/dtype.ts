/** Dtypes of dense weights and of the KV cache; activations are always float32 tensors. */
export type DType = 'float32' | 'float16' | 'bfloat16'

/**
 * How the elements of a weight matrix lie in memory. Block formats are GGUF's, byte for byte
 * (ggml `ggml-common.h`): a row of `cols` elements is `cols / blockElements` blocks of `blockBytes`.
 */
export type WeightFormat = DType | 'q8_0' | 'q4_0' | 'q4_1' | 'q5_0' | 'q5_1' | 'q4_k' | 'q5_k' | 'q6_k'

interface FormatLayout {
  readonly blockElements: number
  readonly blockBytes: number
}

export const weightFormats: Readonly<Record<WeightFormat, FormatLayout>> = {
  float32: { blockElements: 1, blockBytes: 4 },
  float16: { blockElements: 1, blockBytes: 2 },
  bfloat16: { blockElements: 1, blockBytes: 2 },
  q8_0: { blockElements: 32, blockBytes: 34 },
  q4_0: { blockElements: 32, blockBytes: 18 },
  q4_1: { blockElements: 32, blockBytes: 20 },
  q5_0: { blockElements: 32, blockBytes: 22 },
  q5_1: { blockElements: 32, blockBytes: 24 },
  q4_k: { blockElements: 256, blockBytes: 144 },
  q5_k: { blockElements: 256, blockBytes: 176 },
  q6_k: { blockElements: 256, blockBytes: 210 },
}

/** All formats, dense ones first. */
export const allWeightFormats: readonly WeightFormat[] = Object.keys(weightFormats).filter(
  (name): name is WeightFormat => Object.hasOwn(weightFormats, name),
)

/** Bytes of one row of `cols` elements; `cols` must be a multiple of the format's block. */
export function rowBytes(format: WeightFormat, cols: number): number {
  const { blockElements, blockBytes } = weightFormats[format]
  return (cols / blockElements) * blockBytes
}

export function isDense(format: WeightFormat): format is DType {
  return weightFormats[format].blockElements === 1
}
