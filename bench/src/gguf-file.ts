/** GGUF files of real shapes with random weights: what a bench measures needs no meaning. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import {
  type BenchFormat,
  type BenchShape,
  hasBias,
  layerMatrices,
  type LayerMatrix,
  weightBlocks,
} from './bench-shape.ts'

interface StoredFormat {
  /** GGUF's number of it. */
  readonly type: number
  readonly block: number
  readonly bytes: number
}

const formats: Readonly<Record<BenchFormat, StoredFormat>> = {
  q8_0: { type: 8, ...weightBlocks.q8_0 },
  q4_0: { type: 2, ...weightBlocks.q4_0 },
  f16: { type: 1, ...weightBlocks.f16 },
  bf16: { type: 30, ...weightBlocks.bf16 },
}
const float32: StoredFormat = { type: 0, block: 1, bytes: 4 }

const layerNames: Readonly<Record<LayerMatrix, string>> = {
  q: 'attn_q',
  k: 'attn_k',
  v: 'attn_v',
  output: 'attn_output',
  gate: 'ffn_gate',
  up: 'ffn_up',
  down: 'ffn_down',
}
const alignment = 32

interface BenchTensor {
  readonly name: string
  /** Fastest dimension first, as GGUF writes it. */
  readonly dims: readonly number[]
  readonly format: StoredFormat
}

/** Writes the file; a few seconds and as many bytes as the real model takes. */
export function writeBenchModel(path: string, shape: BenchShape, format: BenchFormat): void {
  const tensors = listTensors(shape, formats[format])
  const file = openSync(path, 'w')
  try {
    const header = createHeader(shape, tensors)
    writeSync(file, header)
    const chunks = new Map<StoredFormat, Buffer>()
    for (const tensor of tensors) {
      const chunk = chunks.get(tensor.format) ?? randomChunk(tensor.format)
      chunks.set(tensor.format, chunk)
      writeTensor(file, tensor, chunk)
    }
  } finally {
    closeSync(file)
  }
}

function listTensors(shape: BenchShape, format: StoredFormat): BenchTensor[] {
  const { hiddenSize, vocabSize } = shape
  const matrix = (name: string, cols: number, rows: number): BenchTensor => ({
    name: `${name}.weight`,
    dims: [cols, rows],
    format,
  })
  const vector = (name: string, size: number): BenchTensor => ({ name, dims: [size], format: float32 })
  const norm = (name: string): BenchTensor => vector(`${name}.weight`, hiddenSize)
  const layers = Array.from({ length: shape.numLayers }, (_, i) => [
    norm(`blk.${i}.attn_norm`),
    norm(`blk.${i}.ffn_norm`),
    ...layerMatrices(shape).flatMap(({ name, rows, cols }) => [
      matrix(`blk.${i}.${layerNames[name]}`, cols, rows),
      ...(hasBias(shape, name) ? [vector(`blk.${i}.${layerNames[name]}.bias`, rows)] : []),
    ]),
  ])
  return [
    matrix('token_embd', hiddenSize, vocabSize),
    ...layers.flat(),
    norm('output_norm'),
    ...(shape.isTied ? [] : [matrix('output', hiddenSize, vocabSize)]),
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

export interface Vocabulary {
  readonly tokens: readonly string[]
  readonly merges: readonly string[]
  readonly isSpecial: readonly boolean[]
}

/**
 * The embedded model's, filled up to the size that the shape wants: each further token joins two that are there, so that
 * there are about as many merges as in a real tokenizer.
 */
export function createVocabulary(size: number): Vocabulary {
  const { model, added_tokens: added } = JSON.parse(
    readFileSync(new URL('../../packages/core/models/octavo-tiny/tokenizer.json', import.meta.url), 'utf8'),
  ) as {
    model: { vocab: Record<string, number>; merges: (string | [string, string])[] }
    added_tokens: { id: number; content: string }[]
  }
  const tokens: string[] = []
  const isSpecial: boolean[] = []
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token
  const parts = [...tokens]
  for (const { id, content } of added) {
    tokens[id] = content
    isSpecial[id] = true
  }
  const merges = model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')))
  const known = new Set(tokens)
  for (let pair = 0; tokens.length < size && pair < parts.length ** 2; pair++) {
    const [left = '', right = ''] = [parts[Math.floor(pair / parts.length)], parts[pair % parts.length]]
    if (left === '' || right === '' || known.has(left + right)) continue
    known.add(left + right)
    tokens.push(left + right)
    merges.push(`${left} ${right}`)
  }
  return { tokens, merges, isSpecial: tokens.map((_, id) => isSpecial[id] === true) }
}

function metadataOf(shape: BenchShape): [string, Buffer][] {
  const { tokens, merges, isSpecial } = createVocabulary(shape.vocabSize)
  return [
    ['general.architecture', typed(8, text(shape.modelType))],
    ['general.name', typed(8, text(shape.name))],
    [`${shape.modelType}.block_count`, typed(4, u32(shape.numLayers))],
    [`${shape.modelType}.context_length`, typed(4, u32(4096))],
    [`${shape.modelType}.embedding_length`, typed(4, u32(shape.hiddenSize))],
    [`${shape.modelType}.feed_forward_length`, typed(4, u32(shape.intermediateSize))],
    [`${shape.modelType}.attention.head_count`, typed(4, u32(shape.numHeads))],
    [`${shape.modelType}.attention.head_count_kv`, typed(4, u32(shape.numKvHeads))],
    [`${shape.modelType}.attention.layer_norm_rms_epsilon`, typed(6, f32(1e-5))],
    [`${shape.modelType}.rope.freq_base`, typed(6, f32(shape.ropeTheta))],
    [`${shape.modelType}.rope.dimension_count`, typed(4, u32(shape.headDim))],
    [`${shape.modelType}.vocab_size`, typed(4, u32(shape.vocabSize))],
    ['tokenizer.ggml.model', typed(8, text('gpt2'))],
    ['tokenizer.ggml.pre', typed(8, text('llama-bpe'))],
    ['tokenizer.ggml.tokens', array(8, tokens.map(text))],
    [
      'tokenizer.ggml.token_type',
      array(
        5,
        isSpecial.map((special) => u32(special ? 3 : 1)),
      ),
    ],
    ['tokenizer.ggml.merges', array(8, merges.map(text))],
    ['tokenizer.ggml.bos_token_id', typed(4, u32(2551))],
    ['tokenizer.ggml.eos_token_id', typed(4, u32(2553))],
  ]
}

/** One random megabyte, again and again. */
function writeTensor(file: number, tensor: BenchTensor, chunk: Buffer): void {
  const size = sizeOf(tensor)
  const padded = Math.ceil(size / alignment) * alignment
  for (let left = size; left > 0; left -= chunk.length) writeSync(file, chunk, 0, Math.min(left, chunk.length))
  writeSync(file, Buffer.alloc(padded - size))
}

function randomChunk({ type, bytes }: StoredFormat): Buffer {
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
