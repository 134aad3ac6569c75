/** GGUF files of real shapes with random weights: what a bench measures needs no meaning. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

export type BenchFormat = 'q8_0' | 'q4_0' | 'f16' | 'bf16'

export interface BenchShape {
  readonly name: string
  readonly numLayers: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly vocabSize: number
}

/** Of the models' config.json. */
export const shapes: Readonly<Record<string, BenchShape>> = {
  'tinyllama-1.1b': {
    name: 'tinyllama-1.1b',
    numLayers: 22,
    hiddenSize: 2048,
    intermediateSize: 5632,
    numHeads: 32,
    numKvHeads: 4,
    headDim: 64,
    vocabSize: 32_000,
  },
  'llama-3.2-1b': {
    name: 'llama-3.2-1b',
    numLayers: 16,
    hiddenSize: 2048,
    intermediateSize: 8192,
    numHeads: 32,
    numKvHeads: 8,
    headDim: 64,
    vocabSize: 128_256,
  },
  'smollm2-135m': {
    name: 'smollm2-135m',
    numLayers: 30,
    hiddenSize: 576,
    intermediateSize: 1536,
    numHeads: 9,
    numKvHeads: 3,
    headDim: 64,
    vocabSize: 49_152,
  },
  'octavo-small': {
    name: 'octavo-small',
    numLayers: 4,
    hiddenSize: 512,
    intermediateSize: 1536,
    numHeads: 8,
    numKvHeads: 2,
    headDim: 64,
    vocabSize: 4096,
  },
}

const formats = {
  q8_0: { type: 8, block: 32, bytes: 34 },
  q4_0: { type: 2, block: 32, bytes: 18 },
  f16: { type: 1, block: 1, bytes: 2 },
  bf16: { type: 30, block: 1, bytes: 2 },
} as const
const float32 = { type: 0, block: 1, bytes: 4 } as const
const alignment = 32

interface BenchTensor {
  readonly name: string
  /** Fastest dimension first, as GGUF writes it. */
  readonly dims: readonly number[]
  readonly format: (typeof formats)[BenchFormat] | typeof float32
}

/** Writes the file; a few seconds and as many bytes as the real model takes. */
export function writeBenchModel(path: string, shape: BenchShape, format: BenchFormat): void {
  const tensors = listTensors(shape, formats[format])
  const file = openSync(path, 'w')
  try {
    const header = createHeader(shape, tensors)
    writeSync(file, header)
    for (const tensor of tensors) writeTensor(file, tensor)
  } finally {
    closeSync(file)
  }
}

function listTensors(shape: BenchShape, format: BenchTensor['format']): BenchTensor[] {
  const { hiddenSize, intermediateSize, numHeads, numKvHeads, headDim, vocabSize } = shape
  const matrix = (name: string, cols: number, rows: number): BenchTensor => ({
    name: `${name}.weight`,
    dims: [cols, rows],
    format,
  })
  const norm = (name: string): BenchTensor => ({ name: `${name}.weight`, dims: [hiddenSize], format: float32 })
  const layers = Array.from({ length: shape.numLayers }, (_, i) => [
    norm(`blk.${i}.attn_norm`),
    matrix(`blk.${i}.attn_q`, hiddenSize, numHeads * headDim),
    matrix(`blk.${i}.attn_k`, hiddenSize, numKvHeads * headDim),
    matrix(`blk.${i}.attn_v`, hiddenSize, numKvHeads * headDim),
    matrix(`blk.${i}.attn_output`, numHeads * headDim, hiddenSize),
    norm(`blk.${i}.ffn_norm`),
    matrix(`blk.${i}.ffn_gate`, hiddenSize, intermediateSize),
    matrix(`blk.${i}.ffn_up`, hiddenSize, intermediateSize),
    matrix(`blk.${i}.ffn_down`, intermediateSize, hiddenSize),
  ])
  return [
    matrix('token_embd', hiddenSize, vocabSize),
    ...layers.flat(),
    norm('output_norm'),
    matrix('output', hiddenSize, vocabSize),
  ]
}

function sizeOf({ dims, format }: BenchTensor): number {
  return (dims.reduce((product, dim) => product * dim, 1) / format.block) * format.bytes
}

function createHeader(shape: BenchShape, tensors: readonly BenchTensor[]): Buffer {
  const metadata = metadataOf(shape)
  const parts: Buffer[] = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.length)]
  for (const [key, value] of metadata) parts.push(text(key), value)
  let offset = 0
  for (const tensor of tensors) {
    parts.push(
      text(tensor.name),
      u32(tensor.dims.length),
      ...tensor.dims.map(u64),
      u32(tensor.format.type),
      u64(offset),
    )
    offset += Math.ceil(sizeOf(tensor) / alignment) * alignment
  }
  const header = Buffer.concat(parts)
  return Buffer.concat([header, Buffer.alloc((alignment - (header.length % alignment)) % alignment)])
}

/** The embedded model's vocabulary, filled up to the size that the shape wants. */
function metadataOf(shape: BenchShape): [string, Buffer][] {
  const tokenizer = JSON.parse(
    readFileSync(new URL('../packages/core/models/octavo-tiny/tokenizer.json', import.meta.url), 'utf8'),
  ) as {
    model: { vocab: Record<string, number>; merges: (string | [string, string])[] }
    added_tokens: { id: number; content: string }[]
  }
  const tokens = Array.from({ length: shape.vocabSize }, (_, id) => `<unused${id}>`)
  for (const [token, id] of Object.entries(tokenizer.model.vocab)) tokens[id] = token
  for (const { id, content } of tokenizer.added_tokens) tokens[id] = content
  const merges = tokenizer.model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')))
  return [
    ['general.architecture', typed(8, text('llama'))],
    ['general.name', typed(8, text(shape.name))],
    ['llama.block_count', typed(4, u32(shape.numLayers))],
    ['llama.context_length', typed(4, u32(4096))],
    ['llama.embedding_length', typed(4, u32(shape.hiddenSize))],
    ['llama.feed_forward_length', typed(4, u32(shape.intermediateSize))],
    ['llama.attention.head_count', typed(4, u32(shape.numHeads))],
    ['llama.attention.head_count_kv', typed(4, u32(shape.numKvHeads))],
    ['llama.attention.layer_norm_rms_epsilon', typed(6, f32(1e-5))],
    ['llama.rope.freq_base', typed(6, f32(10_000))],
    ['llama.rope.dimension_count', typed(4, u32(shape.headDim))],
    ['llama.vocab_size', typed(4, u32(shape.vocabSize))],
    ['tokenizer.ggml.model', typed(8, text('gpt2'))],
    ['tokenizer.ggml.pre', typed(8, text('llama-bpe'))],
    ['tokenizer.ggml.tokens', array(8, tokens.map(text))],
    [
      'tokenizer.ggml.token_type',
      array(
        5,
        tokens.map((_, id) => u32(id > 2550 ? 3 : 1)),
      ),
    ],
    ['tokenizer.ggml.merges', array(8, merges.map(text))],
    ['tokenizer.ggml.bos_token_id', typed(4, u32(2551))],
    ['tokenizer.ggml.eos_token_id', typed(4, u32(2553))],
  ]
}

/** One random megabyte, again and again. */
function writeTensor(file: number, tensor: BenchTensor): void {
  const size = sizeOf(tensor)
  const padded = Math.ceil(size / alignment) * alignment
  const chunk = randomChunk(tensor.format)
  for (let left = size; left > 0; left -= chunk.length) writeSync(file, chunk, 0, Math.min(left, chunk.length))
  writeSync(file, Buffer.alloc(padded - size))
}

function randomChunk({ type, bytes }: BenchTensor['format']): Buffer {
  const chunk = Buffer.alloc(bytes * 32_768)
  for (let at = 0; at < chunk.length; at += bytes) {
    if (type === float32.type) chunk.writeFloatLE(0.9 + 0.2 * Math.random(), at)
    else if (type === formats.bf16.type) chunk.writeUInt16LE(bfloat16((Math.random() - 0.5) * 0.06), at)
    else if (type === formats.f16.type)
      chunk.writeUInt16LE(0x2000 + Math.floor(Math.random() * 0x600) + (Math.random() < 0.5 ? 0x8000 : 0), at) // 0.008 … 0.03
    else {
      for (let i = 2; i < bytes; i++) chunk[at + i] = Math.floor(Math.random() * 256)
      chunk.writeUInt16LE(type === formats.q8_0.type ? 0x0b00 : 0x1b00, at) // scales of 0.0002 and 0.0034
    }
  }
  return chunk
}

function bfloat16(value: number): number {
  const buffer = Buffer.alloc(4)
  buffer.writeFloatLE(value)
  return buffer.readUInt16LE(2)
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32LE(value)
  return buffer
}

function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64LE(BigInt(value))
  return buffer
}

function f32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeFloatLE(value)
  return buffer
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([u64(bytes.length), bytes])
}

function typed(type: number, value: Buffer): Buffer {
  return Buffer.concat([u32(type), value])
}

function array(type: number, values: readonly Buffer[]): Buffer {
  return Buffer.concat([u32(9), u32(type), u64(values.length), ...values])
}
