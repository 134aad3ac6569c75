import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createBackend } from '../backends/backend.ts'
import { parseModelConfig } from '../config/model-config.ts'
import type { PoolingConfig } from '../config/pooling-config.ts'
import { CheckpointError, InvalidConfigError, UnsupportedModelError } from '../errors.ts'
import { singleRank } from '../layers/communicator.ts'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { float32Tensor, writeSafetensors } from '../loading/safetensors-file.case.ts'
import { readCheckpointModel } from './checkpoint-model.ts'
import { type PoolingOptions, resolvePooling } from './resolve-pooling.ts'

const models = fileURLToPath(new URL('../../../../fixtures/models/', import.meta.url))
const root = mkdtempSync(join(tmpdir(), 'octavo-pooling-'))
afterAll(() => rmSync(root, { recursive: true }))

async function read(path: string, options: PoolingOptions = {}): Promise<PoolingConfig> {
  const checkpoint = await openCheckpoint(path)
  return resolvePooling(checkpoint, parseModelConfig(checkpoint.config, path), options)
}

/** A golden checkpoint with files changed; `null` takes one away. */
function change(name: string, files: Readonly<Record<string, object | null>>): string {
  const folder = mkdtempSync(join(root, 'case-'))
  cpSync(join(models, name), folder, { recursive: true })
  for (const [file, changes] of Object.entries(files)) {
    const path = join(folder, file)
    if (changes === null) rmSync(path, { recursive: true })
    else writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...changes }))
  }
  return folder
}

describe('resolvePooling', () => {
  it.each([
    ['llama', { tasks: ['embed', 'token_embed'], canGenerate: true, type: 'last', isNormalized: true, dimensions: 64 }],
    ['qwen3-embedding', { tasks: ['embed', 'token_embed'], canGenerate: false, type: 'last', maxTokens: 2048 }],
    ['bert-embed', { canGenerate: false, needsWholePrompts: true, type: 'mean', isNormalized: true, maxTokens: 256 }],
    ['modernbert-embed', { dimensions: 32, matryoshka: [8, 16, 32], type: 'mean' }],
    ['xlm-roberta-embed', { type: 'cls', prompts: { query: 'query: ', passage: 'passage: ' } }],
    [
      'bert-reranker',
      {
        tasks: ['classify'],
        type: 'cls',
        pairs: 'tokenizer',
        classifier: { numLabels: 1, labels: ['LABEL_0'], activation: 'sigmoid' },
      },
    ],
    ['roberta-reranker', { classifier: { numLabels: 1, labels: ['LABEL_0'], activation: 'none' } }],
    [
      'distilbert-classify',
      { classifier: { numLabels: 3, labels: ['toxic', 'insult', 'threat'], activation: 'sigmoid' } },
    ],
    ['bert-tokens', { tasks: ['token_classify'], needsWholePrompts: true }],
    ['modernbert-classify', { type: 'mean', classifier: { numLabels: 4 } }],
    [
      'qwen3-seqcls',
      {
        tasks: ['classify', 'token_classify'],
        canGenerate: false,
        needsWholePrompts: false,
        type: 'last',
        pairs: 'concatenated',
        classifier: { numLabels: 3, activation: 'softmax' },
      },
    ],
  ])('%s', async (name, expected) => {
    expect(await read(join(models, name))).toMatchObject(expected)
  })

  it('takes the option before the checkpoint, and the model before its defaults', async () => {
    const path = join(models, 'bert-embed')
    expect((await read(path, { poolingType: 'auto' })).type).toBe('mean')
    expect((await read(path, { poolingType: 'cls' })).type).toBe('cls')
    const plain = await read(change('bert-embed', { 'modules.json': null }))
    expect(plain).toMatchObject({ type: 'cls', isNormalized: true })
  })

  it('reads how many dimensions embeddings may be cut to', async () => {
    expect((await read(change('qwen3', { 'config.json': { is_matryoshka: true } }))).matryoshka).toBe('any')
    await expect(read(change('qwen3', { 'config.json': { matryoshka_dimensions: [8, 999] } }))).rejects.toThrow(
      /"matryoshka_dimensions" has 999, and embeddings have 64/,
    )
  })

  it.each([
    ['regression', 'none'],
    ['single_label_classification', 'softmax'],
    ['multi_label_classification', 'sigmoid'],
  ])('scores a problem of the type %s by %s', async (problem_type, activation) => {
    const path = change('qwen3-seqcls', { 'config.json': { problem_type } })
    expect((await read(path)).classifier?.activation).toBe(activation)
  })

  it.each([
    ['no pooling config', { '1_Pooling': null }, CheckpointError, /1_Pooling\/config.json: does not exist/],
    [
      'rows of another size',
      { '1_Pooling/config.json': { word_embedding_dimension: 7 } },
      CheckpointError,
      /rows of 7 features, and the model's hidden_size is 48/,
    ],
    [
      'a dense layer of another size',
      { '2_Dense/config.json': { in_features: 9 } },
      CheckpointError,
      /in_features is 9, and what comes before gives 48/,
    ],
    [
      'a type of problem that is not known',
      { 'config.json': { problem_type: 'ranking', architectures: ['ModernBertForSequenceClassification'] } },
      CheckpointError,
      /"problem_type": "ranking" is not known/,
    ],
    [
      'labels with holes',
      { 'config.json': { id2label: { 0: 'a', 2: 'b' }, architectures: ['ModernBertForSequenceClassification'] } },
      CheckpointError,
      /"id2label": has 2 labels, but none of number 1/,
    ],
    [
      "a cross-encoder's activation that is not known",
      {
        'config.json': {
          num_labels: 1,
          id2label: { 0: 'a' },
          sentence_transformers: { activation_fn: 'torch.nn.modules.activation.Tanh' },
          architectures: ['ModernBertForSequenceClassification'],
        },
      },
      UnsupportedModelError,
      /Tanh" of a cross-encoder is not supported/,
    ],
    [
      'a pooling of the classifier that is not known',
      { 'config.json': { classifier_pooling: 'max' } },
      CheckpointError,
      /"classifier_pooling": "max" is not known/,
    ],
    [
      'the type of a decoder',
      { 'config.json': { model_type: 'llama', hidden_act: 'silu' } },
      CheckpointError,
      /"model_type": "llama" is not a type of the architecture ModernBertModel/,
    ],
    [
      'rope scaling',
      { 'config.json': { rope_scaling: { rope_type: 'yarn', factor: 4 } } },
      UnsupportedModelError,
      /rope_scaling of a modernbert model/,
    ],
  ])('refuses a checkpoint with %s', async (_, files, error, message) => {
    const reading = read(change('modernbert-embed', files))
    await expect(reading).rejects.toThrow(error)
    await expect(reading).rejects.toThrow(message)
  })

  it.each([
    ['as a decoder', { is_decoder: true }, UnsupportedModelError, /used as a decoder/],
    [
      'with relative positions',
      { position_embedding_type: 'relative_key' },
      UnsupportedModelError,
      /position_embedding_type "relative_key"/,
    ],
    [
      'without positions behind padding',
      { model_type: 'roberta', architectures: ['RobertaModel'], max_position_embeddings: 2, pad_token_id: 1 },
      CheckpointError,
      /2 leaves no position behind that of padding/,
    ],
  ])('refuses BERT %s', async (_, keys, error, message) => {
    const reading = read(change('bert-embed', { 'config.json': keys }))
    await expect(reading).rejects.toThrow(error)
    await expect(reading).rejects.toThrow(message)
  })
})

describe('NomicBERT', () => {
  it.each([
    [{ prenorm: true }, /nomic_bert models with prenorm, use_rms_norm, parallel_block or causal/],
    [{ rotary_scaling_factor: 2 }, /rotary_scaling_factor 2 is not supported/],
  ])('is refused with %j', async (keys, message) => {
    const reading = read(change('nomic-bert-embed', { 'config.json': keys }))
    await expect(reading).rejects.toThrow(UnsupportedModelError)
    await expect(reading).rejects.toThrow(message)
  })

  it('has the context that it was trained on, and embeddings as they are', async () => {
    const { config } = await readCheckpointModel(join(models, 'nomic-bert-embed'), {})
    expect(config).toMatchObject({ maxPositionEmbeddings: 300, numHeads: 4, rope: { theta: 1000 } })
    expect(await read(join(models, 'nomic-bert-embed'))).toMatchObject({ type: 'mean', isNormalized: false })
  })
})

describe('weights that do not fit', () => {
  let pack: BackendPack
  beforeAll(async () => {
    pack = (await createBackend('cpu')).pack
  })
  // Nothing stays allocated.
  afterEach(() => expect(pack.usedBytes).toBe(0))

  const load = async (path: string): Promise<unknown> =>
    (await readCheckpointModel(path, {})).load({ pack, dtype: 'auto', communicator: singleRank })

  it.each([
    [
      'bert-reranker',
      { id2label: { 0: 'a', 1: 'b' } },
      /"classifier.weight".*expected shape \[2, 64\], found \[1, 64\]/,
    ],
    ['qwen3-seqcls', { id2label: { 0: 'a' } }, /"score.weight".*expected shape \[1, 64\], found \[3, 64\]/],
    ['bert-embed', { type_vocab_size: 9 }, /"embeddings.token_type_embeddings.weight".*expected shape \[9, 64\]/],
    [
      'bert-embed',
      { max_position_embeddings: 99 },
      /"embeddings.position_embeddings.weight".*expected shape \[99, 64\]/,
    ],
    ['bert-embed', { architectures: ['BertForSequenceClassification'] }, /"classifier.weight".*missing/],
    ['xlm-roberta-embed', { pad_token_id: 5, max_position_embeddings: 99 }, /"embeddings.position_embeddings.weight"/],
    [
      'xlm-roberta-embed',
      { architectures: ['BertModel'], model_type: 'bert', num_hidden_layers: 1 },
      /no layer reads "encoder.layer.1/,
    ],
    ['modernbert-embed', { intermediate_size: 8 }, /"layers.0.mlp.Wi.weight".*expected shape/],
    ['qwen3-embedding', { architectures: ['Qwen3ForSequenceClassification'] }, /"score.weight".*missing/],
  ])('are refused: %s with %j', async (name, keys, message) => {
    const loading = load(change(name, { 'config.json': keys }))
    await expect(loading).rejects.toThrow(CheckpointError)
    await expect(loading).rejects.toThrow(message)
  })

  it('are refused in a dense layer, whose pickle is not loaded', async () => {
    const path = change('modernbert-embed', { '2_Dense/model.safetensors': null })
    writeFileSync(join(path, '2_Dense', 'pytorch_model.bin'), 'pickle')
    await expect(load(path)).rejects.toThrow(/2_Dense/)
    writeSafetensors(join(path, '2_Dense', 'model.safetensors'), {
      'linear.weight': float32Tensor([32, 9], new Float32Array(288)),
      'linear.bias': float32Tensor([32], new Float32Array(32)),
    })
    await expect(load(path)).rejects.toThrow(/"linear.weight": expected shape \[32, 48\], found \[32, 9\]/)
  })

  it('are refused in part: an encoder is not cut into stages', async () => {
    const { load: loadPart } = await readCheckpointModel(join(models, 'bert-embed'), {})
    const stage = { pack, dtype: 'auto', communicator: singleRank, layers: { start: 0, end: 1 } } as const
    expect(() => loadPart(stage)).toThrow(InvalidConfigError)
    expect(() => loadPart(stage)).toThrow(/an encoder is not cut into stages; use 1, or tp/)
  })

  it.each(['bfloat16', 'float16'] as const)('are converted to %s like any other', async (dtype) => {
    const { load: loadAs } = await readCheckpointModel(join(models, 'modernbert-embed'), {})
    const whole = loadAs({ pack, dtype: 'auto', communicator: singleRank })
    const half = loadAs({ pack, dtype, communicator: singleRank })
    expect(half.weightBytes).toBeLessThan(0.6 * whole.weightBytes)
    whole.dispose()
    half.dispose()
  })
})
