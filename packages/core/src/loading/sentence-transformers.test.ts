import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import { openCheckpoint } from './checkpoint.ts'
import { noSentenceTransformers, readSentenceTransformers } from './sentence-transformers.ts'

const models = fileURLToPath(new URL('../../../../fixtures/models/', import.meta.url))
const root = mkdtempSync(join(tmpdir(), 'octavo-sentence-'))
afterAll(() => rmSync(root, { recursive: true }))

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'))
})

function put(name: string, content: unknown): void {
  mkdirSync(join(folder, name, '..'), { recursive: true })
  writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
}

const st = (kind: string, path: string, prefix = 'sentence_transformers.models.'): unknown => ({
  type: prefix + kind,
  path,
})
const transformer = st('Transformer', '')
const pooling = st('Pooling', '1_Pooling')
const denseConfig = {
  in_features: 8,
  out_features: 4,
  bias: true,
  activation_function: 'torch.nn.modules.activation.Tanh',
}

/** modules.json with a mean behind the transformer. */
function putMean(...rest: unknown[]): void {
  put('modules.json', [transformer, pooling, ...rest])
  put('1_Pooling/config.json', { word_embedding_dimension: 8, pooling_mode_mean_tokens: true })
}

describe('readSentenceTransformers', () => {
  it('finds nothing where there are no such files', () => {
    expect(readSentenceTransformers(folder)).toEqual(noSentenceTransformers)
  })

  it('reads which vector is the embedding', () => {
    expect(readSentenceTransformers(join(models, 'modernbert-embed'))).toEqual({
      modules: {
        type: 'mean',
        inFeatures: 48,
        includesPrompt: true,
        isNormalized: true,
        dense: [
          {
            folder: join(models, 'modernbert-embed', '2_Dense'),
            inFeatures: 48,
            outFeatures: 32,
            hasBias: true,
            activation: 'tanh',
          },
        ],
      },
      prompts: {},
      maxTokens: null,
      isLowerCase: false,
    })
    expect(readSentenceTransformers(join(models, 'xlm-roberta-embed'))).toMatchObject({
      modules: { type: 'cls', isNormalized: true, dense: [] },
      prompts: { query: 'query: ', passage: 'passage: ' },
      maxTokens: 280,
    })
  })

  it.each([
    [{ pooling_mode_cls_token: true, pooling_mode_mean_tokens: false }, 'cls'],
    [{ pooling_mode_lasttoken: true }, 'last'],
    [{ word_embedding_dimension: 8 }, 'mean'],
    [{ pooling_mode: 'lasttoken', embedding_dimension: 8 }, 'last'],
    [{ pooling_mode: ['cls'] }, 'cls'],
    // The new key goes before the old ones, as in sentence-transformers.
    [{ pooling_mode: 'mean', pooling_mode_max_tokens: true }, 'mean'],
  ])('reads the pooling %j', (config, type) => {
    put('modules.json', [transformer, pooling])
    put('1_Pooling/config.json', config)
    expect(readSentenceTransformers(folder).modules).toMatchObject({ type, isNormalized: false })
  })

  it("reads the modules of sentence-transformers 6, and a transformer alone as no embedder's", () => {
    put('modules.json', [
      st('Transformer', '', 'sentence_transformers.base.modules.transformer.'),
      st('Pooling', '1_Pooling', 'sentence_transformers.sentence_transformer.modules.pooling.'),
      st('Normalize', '2_Normalize', 'sentence_transformers.base.modules.normalize.'),
    ])
    put('1_Pooling/config.json', { pooling_mode: 'cls' })
    expect(readSentenceTransformers(folder).modules).toMatchObject({ type: 'cls', isNormalized: true })
    put('modules.json', [transformer])
    expect(readSentenceTransformers(folder).modules).toBeNull()
  })

  it.each([
    [
      { pooling_mode_max_tokens: true },
      /1_Pooling\/config.json: pooling by "max" is not supported; known are cls, mean and lasttoken/,
    ],
    [{ pooling_mode_cls_token: true, pooling_mode_mean_tokens: true }, /pooling by "cls" and "mean" is not supported/],
    [{ pooling_mode: ['mean', 'max'] }, /pooling by "mean" and "max"/],
    [{ pooling_mode: 'weightedmean' }, /pooling by "weightedmean"/],
    [{ pooling_mode: '__proto__' }, /pooling by "__proto__"/],
  ])('refuses the pooling %j', (config, message) => {
    putMean()
    put('1_Pooling/config.json', config)
    const read = (): unknown => readSentenceTransformers(folder)
    expect(read).toThrow(UnsupportedModelError)
    expect(read).toThrow(message)
  })

  it.each([
    [
      'one that is code of the checkpoint',
      [st('Transformer', '', 'custom_st.')],
      /"custom_st.Transformer" is not of sentence-transformers; code of a checkpoint/,
    ],
    [
      'one that is not there',
      [st('WordEmbeddings', '')],
      /first module is sentence_transformers.models.WordEmbeddings/,
    ],
    [
      'weights elsewhere',
      [st('Transformer', '0_Transformer')],
      /with path "0_Transformer"; supported is a Transformer with path ""/,
    ],
    [
      'no pooling',
      [transformer, st('Normalize', '1_Normalize')],
      /second module is .*Normalize.*; supported is Pooling/,
    ],
    [
      'layers that are not known',
      [transformer, pooling, st('LSTM', '2_LSTM')],
      /LSTM with path "2_LSTM" behind the pooling is not supported/,
    ],
    [
      'a norm before the dense layer',
      [transformer, pooling, st('Normalize', '2_Normalize'), st('Dense', '3_Dense')],
      /Normalize with path "2_Normalize" behind the pooling/,
    ],
  ])('refuses modules with %s', (_, modules, message) => {
    putMean()
    put('modules.json', modules)
    const read = (): unknown => readSentenceTransformers(folder)
    expect(read).toThrow(UnsupportedModelError)
    expect(read).toThrow(message)
  })

  it.each([
    ['no list', {}, /modules.json: must be a list of 1 to/],
    ['an empty list', [], /must be a list of 1 to/],
    ['a long list', Array.from({ length: 400 }, () => transformer), /must be a list of 1 to/],
    ['no types', [{ path: '' }], /must have "type" and "path"/],
    [
      'a path out of the folder',
      [transformer, st('Pooling', '../elsewhere')],
      /"path" is "..\/elsewhere", and must be the name of a folder/,
    ],
    ['an absolute path', [transformer, st('Pooling', '/etc')], /"path" is "\/etc"/],
    [
      'a folder that is missing',
      [transformer, st('Pooling', '9_Pooling')],
      /9_Pooling\/config.json: does not exist, and modules.json names its folder/,
    ],
    ['broken JSON', '[{', /modules.json: is not valid JSON/],
  ])('refuses a file that has %s', (_, modules, message) => {
    putMean()
    put('modules.json', modules)
    const read = (): unknown => readSentenceTransformers(folder)
    expect(read).toThrow(CheckpointError)
    expect(read).toThrow(message)
  })

  it.each([
    [{ in_features: 0 }, CheckpointError, /"in_features" is 0, and must be an integer from 1/],
    [{ out_features: 1e9 }, CheckpointError, /"out_features" is 1000000000/],
    [{ out_features: undefined }, CheckpointError, /"out_features" is missing/],
    [{ bias: 'yes' }, CheckpointError, /"bias" is "yes", and must be true or false/],
    [
      { activation_function: 'torch.nn.modules.activation.Softplus' },
      UnsupportedModelError,
      /Softplus" is not supported; known are Identity, Tanh/,
    ],
    [{ activation_function: 'os.system' }, UnsupportedModelError, /"os.system" is not supported/],
    [{ use_residual: true }, UnsupportedModelError, /residual/],
    [
      { module_output_name: 'scores' },
      UnsupportedModelError,
      /"module_output_name" is "scores"; supported is sentence_embedding/,
    ],
  ])('refuses the dense layer %j', (change, error, message) => {
    putMean(st('Dense', '2_Dense'))
    put('2_Dense/config.json', { ...denseConfig, ...change })
    const read = (): unknown => readSentenceTransformers(folder)
    expect(read).toThrow(error)
    expect(read).toThrow(message)
  })

  it('refuses prompts that are no texts, and a pooling that leaves them out', () => {
    putMean()
    put('config_sentence_transformers.json', { prompts: { query: 1 } })
    expect(() => readSentenceTransformers(folder)).toThrow(/"prompts" must be an object of texts/)
    put('config_sentence_transformers.json', { prompts: { query: 'query: ' } })
    expect(readSentenceTransformers(folder).prompts).toEqual({ query: 'query: ' })
    put('1_Pooling/config.json', { include_prompt: false })
    expect(() => readSentenceTransformers(folder)).toThrow(/"include_prompt": false/)
  })

  it('reads limits under the names of older files, and refuses what is none', () => {
    put('sentence_xlm-roberta_config.json', { max_seq_length: 128, do_lower_case: false })
    expect(readSentenceTransformers(folder).maxTokens).toBe(128)
    put('sentence_bert_config.json', { max_seq_length: null, do_lower_case: false })
    expect(readSentenceTransformers(folder).maxTokens).toBeNull()
    put('sentence_bert_config.json', { max_seq_length: -1 })
    expect(() => readSentenceTransformers(folder)).toThrow(/"max_seq_length" is -1, and must be an integer from 1/)
  })

  it('makes texts lower case before all else where the checkpoint says so', async () => {
    put('config.json', { model_type: 'bert' })
    put('tokenizer.json', { model: { type: 'WordLevel', vocab: { a: 0, A: 1 }, unk_token: null } })
    const encode = async (): Promise<number[]> =>
      createTokenizer((await openCheckpoint(folder)).readTokenizer()).encode('A')
    expect(await encode()).toEqual([1])
    put('sentence_bert_config.json', { max_seq_length: 8, do_lower_case: true })
    expect(await encode()).toEqual([0])
  })
})
