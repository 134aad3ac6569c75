/**
 * A decoder as ONNX Runtime runs it best on CPUs, with random weights: `GroupQueryAttention` with its KV cache, weights in
 * blocks of 32 for `MatMulNBits` (8 or 4 bits, activations in int8), logits of the last position only. These are the
 * operators of the exports that `@huggingface/transformers` downloads (onnxruntime/docs/ContribOperators.md describes them).
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type BenchShape, hasBias, layerMatrices, type LayerMatrix } from './bench-shape.ts'
import { OnnxGraph } from './onnx-graph.ts'

export type OnnxFormat = 'q8_0' | 'q4_0'

const maxPositions = 4096
const epsilon = 1e-5
const blockSize = 32
const microsoft = 'com.microsoft'

/** Writes `config.json` and `onnx/model.onnx` with its data into the folder. */
export function writeOnnxModel(folder: string, shape: BenchShape, format: OnnxFormat): void {
  mkdirSync(path.join(folder, 'onnx'), { recursive: true })
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(configOf(shape)))
  const graph = new OnnxGraph(path.join(folder, 'onnx', 'model.onnx_data'), 'model.onnx_data')
  new DecoderGraph(graph, shape, format).build()
  writeFileSync(path.join(folder, 'onnx', 'model.onnx'), graph.finish())
}

function configOf(shape: BenchShape): Record<string, unknown> {
  return {
    architectures: [shape.modelType === 'qwen2' ? 'Qwen2ForCausalLM' : 'LlamaForCausalLM'],
    model_type: shape.modelType,
    vocab_size: shape.vocabSize,
    hidden_size: shape.hiddenSize,
    intermediate_size: shape.intermediateSize,
    num_hidden_layers: shape.numLayers,
    num_attention_heads: shape.numHeads,
    num_key_value_heads: shape.numKvHeads,
    head_dim: shape.headDim,
    max_position_embeddings: maxPositions,
    rope_theta: shape.ropeTheta,
    rms_norm_eps: epsilon,
    hidden_act: 'silu',
    bos_token_id: 1,
    eos_token_id: 2,
    'transformers.js_config': { use_external_data_format: { model: 1 } },
  }
}

class DecoderGraph {
  readonly #graph: OnnxGraph
  readonly #shape: BenchShape
  readonly #bits: 4 | 8
  readonly #weights = randomBytes(1 << 20, (i, bytes) => (bytes[i] = Math.floor(Math.random() * 256)))
  readonly #scales: Buffer

  constructor(graph: OnnxGraph, shape: BenchShape, format: OnnxFormat) {
    this.#graph = graph
    this.#shape = shape
    this.#bits = format === 'q4_0' ? 4 : 8
    const scale = this.#bits === 4 ? 0.0034 : 0.0002
    this.#scales = floats(1 << 18, () => scale)
  }

  build(): void {
    const { numLayers, vocabSize, numKvHeads, headDim } = this.#shape
    this.#declareInputs()
    const positions = this.#positions()
    let x = this.#embed()
    let residual: string | null = null
    for (let layer = 0; layer < numLayers; layer++) {
      const attentionIn = this.#norm(`layer${layer}.attn_norm`, x, residual)
      const attended = this.#attention(layer, attentionIn.normed, positions)
      const mlpIn = this.#norm(`layer${layer}.ffn_norm`, attended, attentionIn.sum)
      x = this.#mlp(layer, mlpIn.normed)
      residual = mlpIn.sum
      for (const part of ['key', 'value'])
        this.#graph.output({
          name: `present.${layer}.${part}`,
          type: 'float',
          dims: ['batch_size', numKvHeads, 'total_sequence_length', headDim],
        })
    }
    this.#head(this.#norm('norm', x, residual).normed)
    this.#graph.output({ name: 'logits', type: 'float', dims: ['batch_size', 1, vocabSize] })
  }

  #declareInputs(): void {
    const { numLayers, numKvHeads, headDim } = this.#shape
    this.#graph.input({ name: 'input_ids', type: 'int64', dims: ['batch_size', 'sequence_length'] })
    this.#graph.input({ name: 'attention_mask', type: 'int64', dims: ['batch_size', 'total_sequence_length'] })
    for (let layer = 0; layer < numLayers; layer++)
      for (const part of ['key', 'value'])
        this.#graph.input({
          name: `past_key_values.${layer}.${part}`,
          type: 'float',
          dims: ['batch_size', numKvHeads, 'past_sequence_length', headDim],
        })
  }

  /** What `GroupQueryAttention` wants beside query, key, value and cache. */
  #positions(): readonly string[] {
    const one = this.#integers('one', [1])
    const sum = this.#op('ReduceSum', ['attention_mask', one], { keepdims: 0 })
    const last = this.#op('Sub', [sum, one])
    const seqLens = this.#op('Cast', [last], { to: 6 })
    const total = this.#op('Gather', [this.#op('Shape', ['attention_mask']), this.#scalar('total_axis', 1)])
    const total32 = this.#op('Cast', [total], { to: 6 })
    const half = this.#shape.headDim / 2
    const angle = (i: number): number => Math.floor(i / half) * this.#shape.ropeTheta ** (-(i % half) / half)
    const table = (name: string, of: (angle: number) => number): string => {
      const bytes = floats(maxPositions * half, (i) => of(angle(i)))
      return this.#graph.weight({ name, type: 'float', dims: [maxPositions, half] }, bytes.length, bytes)
    }
    return [seqLens, total32, table('cos_cache', Math.cos), table('sin_cache', Math.sin)]
  }

  /** In 16 bits: `Gather` reads only the rows it needs. */
  #embed(): string {
    const { vocabSize, hiddenSize } = this.#shape
    const table = this.#graph.weight(
      { name: 'embedding', type: 'float16', dims: [vocabSize, hiddenSize] },
      vocabSize * hiddenSize * 2,
      randomBytes(1 << 20, (i, bytes) => (bytes[i] = i % 2 === 0 ? Math.floor(Math.random() * 256) : 0x20)),
    )
    return this.#op('Cast', [this.#op('Gather', [table, 'input_ids'])], { to: 1 })
  }

  #norm(name: string, x: string, residual: string | null): { normed: string; sum: string } {
    const { hiddenSize } = this.#shape
    const weight = this.#graph.constant(
      { name: `${name}.weight`, type: 'float', dims: [hiddenSize] },
      floats(hiddenSize, () => 1),
    )
    const normed = `${name}.out`
    if (residual === null) {
      this.#graph.node({
        op: 'SimplifiedLayerNormalization',
        inputs: [x, weight],
        outputs: [normed],
        integers: { axis: -1, stash_type: 1 },
        floats: { epsilon },
      })
      return { normed, sum: x }
    }
    const sum = `${name}.sum`
    this.#graph.node({
      op: 'SkipSimplifiedLayerNormalization',
      domain: microsoft,
      inputs: [x, residual, weight],
      outputs: [normed, '', '', sum],
      floats: { epsilon },
    })
    return { normed, sum }
  }

  #attention(layer: number, x: string, positions: readonly string[]): string {
    const { numHeads, numKvHeads, headDim } = this.#shape
    const past = ['key', 'value'].map((part) => `past_key_values.${layer}.${part}`)
    const attended = this.#graph.node({
      op: 'GroupQueryAttention',
      domain: microsoft,
      inputs: [...(['q', 'k', 'v'] as const).map((name) => this.#project(layer, name, x)), ...past, ...positions],
      outputs: [`layer${layer}.attended`, `present.${layer}.key`, `present.${layer}.value`],
      integers: { num_heads: numHeads, kv_num_heads: numKvHeads, do_rotary: 1 },
      floats: { scale: headDim ** -0.5 },
    })
    return this.#project(layer, 'output', attended)
  }

  #mlp(layer: number, x: string): string {
    const gate = this.#project(layer, 'gate', x)
    const silu = this.#op('Mul', [gate, this.#op('Sigmoid', [gate])])
    return this.#project(layer, 'down', this.#op('Mul', [silu, this.#project(layer, 'up', x)]))
  }

  #head(x: string): void {
    const last = this.#op('Gather', [x, this.#integers('last', [-1])], { axis: 1 })
    this.#matMul({ name: 'head', rows: this.#shape.vocabSize, cols: this.#shape.hiddenSize }, last, 'logits')
  }

  #project(layer: number, name: LayerMatrix, x: string): string {
    const matrix = layerMatrices(this.#shape).find((known) => known.name === name)
    if (matrix === undefined) throw new Error(`There is no matrix ${name}.`)
    const full = `layer${layer}.${name}`
    const y = this.#matMul({ ...matrix, name: full }, x, `${full}.out`)
    if (!hasBias(this.#shape, name)) return y
    const bias = this.#graph.constant(
      { name: `${full}.bias`, type: 'float', dims: [matrix.rows] },
      floats(matrix.rows, () => 1),
    )
    return this.#op('Add', [y, bias])
  }

  #matMul({ name, rows, cols }: { name: string; rows: number; cols: number }, x: string, y: string): string {
    const numBlocks = cols / blockSize
    const blob = (blockSize * this.#bits) / 8
    const values = this.#graph.weight(
      { name: `${name}.weight`, type: 'uint8', dims: [rows, numBlocks, blob] },
      rows * numBlocks * blob,
      this.#weights,
    )
    const scales = this.#graph.weight(
      { name: `${name}.scales`, type: 'float', dims: [rows * numBlocks] },
      rows * numBlocks * 4,
      this.#scales,
    )
    return this.#graph.node({
      op: 'MatMulNBits',
      domain: microsoft,
      inputs: [x, values, scales],
      outputs: [y],
      // 4: activations may be rounded to int8, as llama.cpp does.
      integers: { K: cols, N: rows, bits: this.#bits, block_size: blockSize, accuracy_level: 4 },
    })
  }

  #numOps = 0

  #op(op: string, inputs: readonly string[], integers: Readonly<Record<string, number>> = {}): string {
    return this.#graph.node({ op, inputs, outputs: [`${op}.${this.#numOps++}`], integers })
  }

  #integers(name: string, values: readonly number[]): string {
    const bytes = Buffer.alloc(8 * values.length)
    for (const [i, value] of values.entries()) bytes.writeBigInt64LE(BigInt(value), 8 * i)
    return this.#graph.constant({ name, type: 'int64', dims: [values.length] }, bytes)
  }

  #scalar(name: string, value: number): string {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(value))
    return this.#graph.constant({ name, type: 'int64', dims: [] }, bytes)
  }
}

function floats(count: number, of: (i: number) => number): Buffer {
  return Buffer.from(Float32Array.from({ length: count }, (_, i) => of(i)).buffer)
}

function randomBytes(count: number, fill: (i: number, bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(count)
  for (let i = 0; i < count; i++) fill(i, bytes)
  return bytes
}
