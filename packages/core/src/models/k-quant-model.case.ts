import { ggufBytes, type GgufValue, type WrittenGgufTensor } from '../loading/gguf-file.case.ts'
import { openGgufFile } from '../loading/gguf.ts'
import { RandomData } from '../ops/random-data.case.ts'
import { rowBytes, weightFormats } from '../tensor/dtype.ts'
import { float32ToFloat16 } from '../tensor/narrow-floats.ts'

const numLayers = 2
const hiddenSize = 256
const vocabSize = 512
const numHeads = 4
const numKvHeads = 2
const headDim = 128
/** Of attention and MLP: two blocks of 256, one for each of two ranks. */
const width = 512

/** With `ggml_type`, and scales of blocks and of their offsets at which weights are 0 on the average and deviate by 0.06. */
const formats = {
  q4_k: { type: 12, scales: [2.6e-4, 7.5 * 2.6e-4] },
  q6_k: { type: 14, scales: [4.4e-5] },
} as const
const float32Type = 0

/**
 * A GGUF file of a llama in Q4_K and Q6_K, mixed as llama.cpp's Q4_K_M, with random weights, that two ranks can share:
 * columns that they cut have two blocks of 256. The tokenizer is that of the fixture `gguf/llama256-q4_k.gguf`.
 */
export function createKQuantModel(fixtures: string): Uint8Array {
  const { metadata, stored } = openGgufFile(`${fixtures}gguf/llama256-q4_k.gguf`)
  stored.close()
  const random = new RandomData(4)
  const layers = Array.from({ length: numLayers }, (_, layer) => layerTensors(`blk.${layer}`, random))
  return ggufBytes({
    metadata: {
      ...(metadata as Readonly<Record<string, GgufValue>>), // as in any GGUF file
      'llama.block_count': numLayers,
      'llama.feed_forward_length': width,
      'llama.attention.key_length': headDim,
      'llama.rope.dimension_count': headDim,
    },
    tensors: [
      matrix('token_embd', { format: 'q6_k', shape: [vocabSize, hiddenSize], random }),
      ...layers.flat(),
      norm('output_norm'),
    ],
  })
}

function layerTensors(name: string, random: RandomData): WrittenGgufTensor[] {
  const queries = numHeads * headDim
  const keys = numKvHeads * headDim
  return [
    norm(`${name}.attn_norm`),
    matrix(`${name}.attn_q`, { format: 'q4_k', shape: [queries, hiddenSize], random }),
    matrix(`${name}.attn_k`, { format: 'q4_k', shape: [keys, hiddenSize], random }),
    matrix(`${name}.attn_v`, { format: 'q6_k', shape: [keys, hiddenSize], random }),
    matrix(`${name}.attn_output`, { format: 'q4_k', shape: [hiddenSize, queries], random }),
    norm(`${name}.ffn_norm`),
    matrix(`${name}.ffn_gate`, { format: 'q4_k', shape: [width, hiddenSize], random }),
    matrix(`${name}.ffn_up`, { format: 'q4_k', shape: [width, hiddenSize], random }),
    matrix(`${name}.ffn_down`, { format: 'q6_k', shape: [hiddenSize, width], random }),
  ]
}

function norm(name: string): WrittenGgufTensor {
  const ones = new Float32Array(hiddenSize).fill(1)
  return { name: `${name}.weight`, type: float32Type, shape: [hiddenSize], bytes: new Uint8Array(ones.buffer) }
}

interface MatrixOptions {
  readonly format: keyof typeof formats
  readonly shape: readonly [rows: number, cols: number]
  readonly random: RandomData
}

/** Any codes and scales of groups will do; the scales of blocks must be finite and of sensible size. */
function matrix(name: string, { format, shape, random }: MatrixOptions): WrittenGgufTensor {
  const { type, scales } = formats[format]
  const { blockBytes, fields } = weightFormats[format]
  const bytes = Uint8Array.from({ length: shape[0] * rowBytes(format, shape[1]) }, () => random.integer(0, 255))
  const view = new DataView(bytes.buffer)
  for (const [i, { offset }] of fields.filter(({ dtype }) => dtype === 'float16').entries()) {
    const bits = float32ToFloat16(scales[i] ?? 0)
    for (let block = 0; block < bytes.length; block += blockBytes) view.setUint16(block + offset, bits, true)
  }
  return { name: `${name}.weight`, type, shape, bytes }
}
