/** Checkpoints in compressed-tensors' "pack-quantized" layout: real shapes with random codes, as `gguf-file.ts` writes them. */
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { type BenchShape, hasBias, layerMatrices, type LayerMatrix } from './bench-shape.ts'
import { createVocabulary } from './gguf-file.ts'

export interface IntegerFormat {
  readonly bits: 4 | 8
  /** Columns that share a scale; null: all of a row. */
  readonly groupSize: number | null
  readonly isSymmetric: boolean
  /** Whether each group's columns lie anywhere, as GPTQ with `desc_act` leaves them: alike in all layers of one input. */
  readonly isOrdered: boolean
}

const modules: Readonly<Record<LayerMatrix, string>> = {
  q: 'self_attn.q_proj',
  k: 'self_attn.k_proj',
  v: 'self_attn.v_proj',
  output: 'self_attn.o_proj',
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
}
const tinyModel = new URL('../../packages/core/models/octavo-tiny/', import.meta.url)

interface StoredTensor {
  readonly name: string
  readonly dtype: 'BF16' | 'I32' | 'I64'
  readonly shape: readonly number[]
  /** Written again and again until the tensor is full. */
  readonly bytes: Uint8Array
}

/** Scales that make weights of the size of those in the GGUF files, and norms of one. */
const scaleBits = { 4: 0x3b60, 8: 0x3960 } as const
const randomWords = Uint8Array.from({ length: 1 << 20 }, () => Math.floor(Math.random() * 256))

/** Writes the folder; all matrices, the embedding and the output layer included, have the format. */
export function writeCompressedModel(folder: string, shape: BenchShape, format: IntegerFormat): void {
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(createConfig(shape, format)))
  writeFileSync(path.join(folder, 'tokenizer.json'), JSON.stringify(createTokenizer(shape.vocabSize)))
  writeSafetensors(path.join(folder, 'model.safetensors'), listTensors(shape, format))
}

function createConfig(shape: BenchShape, { bits, groupSize, isSymmetric, isOrdered }: IntegerFormat): object {
  return {
    architectures: [shape.modelType === 'llama' ? 'LlamaForCausalLM' : 'Qwen2ForCausalLM'],
    model_type: shape.modelType,
    vocab_size: shape.vocabSize,
    hidden_size: shape.hiddenSize,
    intermediate_size: shape.intermediateSize,
    num_hidden_layers: shape.numLayers,
    num_attention_heads: shape.numHeads,
    num_key_value_heads: shape.numKvHeads,
    head_dim: shape.headDim,
    hidden_act: 'silu',
    max_position_embeddings: 4096,
    rope_theta: shape.ropeTheta,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: shape.isTied,
    bos_token_id: 2551,
    eos_token_id: 2553,
    torch_dtype: 'bfloat16',
    quantization_config: {
      quant_method: 'compressed-tensors',
      format: 'pack-quantized',
      quantization_status: 'compressed',
      ignore: [],
      config_groups: {
        group_0: {
          targets: ['Linear', 'Embedding'],
          weights: {
            num_bits: bits,
            type: 'int',
            symmetric: isSymmetric,
            strategy: groupSize === null ? 'channel' : 'group',
            group_size: groupSize,
            actorder: isOrdered ? 'group' : null,
          },
        },
      },
    },
  }
}

/** That of the embedded model with the vocabulary of the GGUF files. */
function createTokenizer(vocabSize: number): object {
  const json = JSON.parse(readFileSync(new URL('tokenizer.json', tinyModel), 'utf8')) as {
    model: object
    added_tokens: { id: number }[]
  }
  const { tokens, merges, isSpecial } = createVocabulary(vocabSize)
  const vocab = Object.fromEntries(tokens.flatMap((token, id) => (isSpecial[id] ? [] : [[token, id]])))
  return { ...json, model: { ...json.model, vocab, merges } }
}

function listTensors(shape: BenchShape, format: IntegerFormat): StoredTensor[] {
  const { hiddenSize, vocabSize } = shape
  const vector = (name: string, size: number, bits: number): StoredTensor => bfloat16s(name, [size], bits)
  const norm = (name: string): StoredTensor => vector(`model.${name}.weight`, hiddenSize, 0x3f80)
  const layers = Array.from({ length: shape.numLayers }, (_, i) => {
    const orderOf = createOrders(format)
    return [
      norm(`layers.${i}.input_layernorm`),
      norm(`layers.${i}.post_attention_layernorm`),
      ...layerMatrices(shape).flatMap(({ name, rows, cols }) => [
        ...matrix(`model.layers.${i}.${modules[name]}`, { rows, cols, order: orderOf(name, cols) }, format),
        ...(hasBias(shape, name) ? [vector(`model.layers.${i}.${modules[name]}.bias`, rows, 0x3c00)] : []),
      ]),
    ]
  })
  const vocabulary = (): MatrixSize => ({
    rows: vocabSize,
    cols: hiddenSize,
    order: createOrders(format)('q', hiddenSize),
  })
  return [
    ...matrix('model.embed_tokens', vocabulary(), format),
    ...layers.flat(),
    norm('norm'),
    ...(shape.isTied ? [] : matrix('lm_head', vocabulary(), format)),
  ]
}

interface MatrixSize {
  readonly rows: number
  readonly cols: number
  /** int32 `[cols]`: the group of each column; null: as they stand. */
  readonly order: Uint8Array | null
}

function matrix(
  module: string,
  { rows, cols, order }: MatrixSize,
  { bits, groupSize, isSymmetric }: IntegerFormat,
): StoredTensor[] {
  const groups = groupSize === null ? 1 : Math.ceil(cols / groupSize)
  const numWords = (count: number): number => Math.ceil((count * bits) / 32)
  const integers = (plane: string, rowsAndCols: readonly number[], bytes: Uint8Array): StoredTensor => ({
    name: `${module}.${plane}`,
    dtype: 'I32',
    shape: rowsAndCols,
    bytes,
  })
  const sizes = new Uint8Array(BigInt64Array.of(BigInt(rows), BigInt(cols)).buffer)
  return [
    integers('weight_packed', [rows, numWords(cols)], randomWords),
    bfloat16s(`${module}.weight_scale`, [rows, groups], scaleBits[bits]),
    { name: `${module}.weight_shape`, dtype: 'I64', shape: [2], bytes: sizes },
    ...(isSymmetric ? [] : [integers('weight_zero_point', [numWords(rows), groups], randomWords)]),
    ...(order === null ? [] : [integers('weight_g_idx', [cols], order)]),
  ]
}

function bfloat16s(name: string, shape: readonly number[], bits: number): StoredTensor {
  return { name, dtype: 'BF16', shape, bytes: new Uint8Array(new Uint16Array(4096).fill(bits).buffer) }
}

const inputOf: Readonly<Record<LayerMatrix, string>> = {
  q: 'attention',
  k: 'attention',
  v: 'attention',
  output: 'output',
  gate: 'mlp',
  up: 'mlp',
  down: 'down',
}

/** Of one layer: GPTQ orders columns by the moments of what comes in, so matrices of one input have one order. */
function createOrders({ groupSize, isOrdered }: IntegerFormat): (name: LayerMatrix, cols: number) => Uint8Array | null {
  const orders = new Map<string, Uint8Array>()
  return (name, cols) => {
    if (!isOrdered || groupSize === null) return null
    const order = orders.get(inputOf[name]) ?? shuffledGroups(cols, groupSize)
    orders.set(inputOf[name], order)
    return order
  }
}

/** Every group whole, its columns far apart. */
function shuffledGroups(cols: number, groupSize: number): Uint8Array {
  const order = Array.from({ length: cols }, (_, col) => [Math.random(), Math.floor(col / groupSize)] as const)
  const groups = order.toSorted(([a], [b]) => a - b).map(([, group]) => group)
  return new Uint8Array(Int32Array.from(groups).buffer)
}

const elementBytes = { BF16: 2, I32: 4, I64: 8 } as const

function writeSafetensors(file: string, tensors: readonly StoredTensor[]): void {
  let offset = 0
  const entries = tensors.map(({ name, dtype, shape }) => {
    const begin = offset
    offset += shape.reduce((product, size) => product * size, elementBytes[dtype])
    return [name, { dtype, shape, data_offsets: [begin, offset] }] as const
  })
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
  const header = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, ' ')])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  const out = openSync(file, 'w')
  try {
    writeSync(out, length)
    writeSync(out, header)
    for (const [i, { bytes }] of tensors.entries()) {
      const [begin, end] = entries[i]![1].data_offsets as [number, number]
      for (let left = end - begin; left > 0; left -= bytes.length)
        writeSync(out, bytes, 0, Math.min(left, bytes.length))
    }
  } finally {
    closeSync(out)
  }
}
