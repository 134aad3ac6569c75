import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HubError, ModelNotFoundError, OctavoError } from '../errors.ts'
import { HubServer } from './hub-server.case.ts'
import { resolveModelPath, type DownloadProgress, type ResolveModelOptions } from './hub.ts'
import { matchGguf } from './gguf-model.ts'

const root = mkdtempSync(join(tmpdir(), 'octavo-hub-'))
afterAll(() => rmSync(root, { recursive: true }))

const weights = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 31) % 251)
const repository: Readonly<Record<string, string | Uint8Array>> = {
  'README.md': 'not needed',
  'config.json': '{"model_type":"llama"}',
  'generation_config.json': '{}',
  'quantize_config.json': '{}',
  'tokenizer.json': '{}',
  'tokenizer_config.json': '{}',
  'chat_template.jinja': 'template',
  'model.safetensors': weights,
  'consolidated.safetensors': 'another format',
  'pytorch_model.bin': 'not needed',
  'onnx/model.onnx': 'not needed',
  'original/params.json': 'not needed',
}

let cacheDir = ''
let server: HubServer
let endpoint = ''

async function serve(files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  server = new HubServer(files)
  endpoint = await server.start()
}

beforeEach(async () => {
  cacheDir = mkdtempSync(join(root, 'cache-'))
  await serve(repository)
})
afterEach(() => server.stop())

function resolve(model: string, options: ResolveModelOptions = {}): Promise<string> {
  return resolveModelPath(model, { cacheDir, endpoint, retryDelayMs: 1, ...options })
}

async function refusal(model: string, options: ResolveModelOptions = {}): Promise<OctavoError> {
  try {
    await resolve(model, options)
  } catch (error) {
    if (OctavoError.isInstance(error)) return error
    throw error
  }
  throw new Error(`${model} was accepted`)
}

const storage = (): string => join(cacheDir, 'models--owner--name')
const snapshot = (): string => join(storage(), 'snapshots', server.commit)

describe('downloading', () => {
  it('fetches what a model needs, and no more, into the layout that Hugging Face tools share', async () => {
    const path = await resolve('owner/name')
    expect(path).toBe(snapshot())
    expect(readdirSync(path).sort()).toEqual(
      [
        'chat_template.jinja',
        'config.json',
        'generation_config.json',
        'model.safetensors',
        'quantize_config.json',
        'tokenizer.json',
        'tokenizer_config.json',
      ].sort(),
    )
    expect(readFileSync(join(path, 'model.safetensors')).equals(weights)).toBe(true)
    const sha256 = createHash('sha256').update(weights).digest('hex')
    expect(lstatSync(join(path, 'model.safetensors')).isSymbolicLink()).toBe(true)
    expect(readlinkSync(join(path, 'model.safetensors'))).toBe(`../../blobs/${sha256}`)
    expect(readFileSync(join(storage(), 'refs/main'), 'utf8')).toBe(server.commit)
    expect(readdirSync(join(storage(), 'blobs')).filter((name) => name.endsWith('.incomplete'))).toEqual([])
  })

  it('fetches what an embedder needs besides', async () => {
    const wanted = {
      'modules.json': '[]',
      'config_sentence_transformers.json': '{}',
      'sentence_xlm-roberta_config.json': '{}',
      '1_Pooling/config.json': '{}',
      '2_Dense/config.json': '{}',
      '2_Dense/model.safetensors': 'dense',
    }
    await server.stop()
    await serve({
      'config.json': '{}',
      'model.safetensors': 'x',
      ...wanted,
      '2_Dense/pytorch_model.bin': 'x',
      'onnx/config.json': '{}',
      'openvino/model.safetensors': 'x',
    })
    const path = await resolve('owner/name')
    const found = readdirSync(path, { recursive: true, encoding: 'utf8' }).filter(
      (name) => !/Pooling$|Dense$/.test(name),
    )
    expect(found.sort()).toEqual(['config.json', 'model.safetensors', ...Object.keys(wanted)].sort())
    expect(readFileSync(join(path, '2_Dense/model.safetensors'), 'utf8')).toBe('dense')
  })

  it('does not fetch a file twice', async () => {
    await resolve('owner/name')
    const before = server.requests.length
    await resolve('owner/name')
    // Only the revision and the list of files.
    expect(server.requests.length - before).toBe(2)
    await resolve('owner/name', { revision: server.commit })
    expect(server.requests.length - before).toBe(2)
  })

  it('uses the index to choose shards', async () => {
    await server.stop()
    const index = { weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' } }
    await serve({
      'config.json': '{}',
      'model.safetensors.index.json': JSON.stringify(index),
      'model-00001-of-00002.safetensors': 'one',
      'model-00002-of-00002.safetensors': 'two',
      'extra.safetensors': 'not in the index',
    })
    expect(readdirSync(await resolve('owner/name')).sort()).toEqual([
      'config.json',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
    ])
  })

  it('reports progress', async () => {
    const reports: DownloadProgress[] = []
    await resolve('owner/name', { onProgress: (progress) => reports.push(progress) })
    const ofWeights = reports.filter(({ file }) => file === 'model.safetensors')
    expect(ofWeights[0]).toEqual({ file: 'model.safetensors', loadedBytes: 0, totalBytes: weights.length })
    expect(ofWeights.at(-1)?.loadedBytes).toBe(weights.length)
    expect(ofWeights.length).toBeGreaterThan(3)
    const loaded = ofWeights.map(({ loadedBytes }) => loadedBytes)
    expect(loaded).toEqual(loaded.toSorted((a, b) => a - b))
  })

  it('goes on where a broken connection stopped', async () => {
    server.cut = { afterBytes: 1_000_000, times: 2 }
    const path = await resolve('owner/name')
    expect(readFileSync(join(path, 'model.safetensors')).equals(weights)).toBe(true)
    const ranges = server.downloadsOf('model.safetensors')
    expect(ranges.length).toBe(3)
    expect(ranges[0]).toBeNull()
    for (const range of ranges.slice(1)) expect(Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1])).toBeGreaterThan(100_000)
  })

  it('goes on where an earlier run stopped', async () => {
    const blob = join(storage(), 'blobs', createHash('sha256').update(weights).digest('hex'))
    mkdirSync(join(storage(), 'blobs'), { recursive: true })
    writeFileSync(`${blob}.incomplete`, weights.subarray(0, 1_234_567))
    const path = await resolve('owner/name')
    expect(server.downloadsOf('model.safetensors')).toEqual([`bytes=1234567-${weights.length - 1}`])
    expect(readFileSync(join(path, 'model.safetensors')).equals(weights)).toBe(true)
    expect(existsSync(`${blob}.incomplete`)).toBe(false)
  })

  it('keeps what it has when it gives up, and finishes later', async () => {
    server.cut = { afterBytes: 0, times: 99 }
    const error = await refusal('owner/name')
    expect(error).toBeInstanceOf(HubError)
    expect(error.message).toMatch(/can't be reached/)
    expect(existsSync(join(storage(), 'refs/main'))).toBe(false)
    server.cut = null
    await resolve('owner/name')
  })

  it('starts over when the part from an earlier run is of another file', async () => {
    const blob = join(storage(), 'blobs', createHash('sha256').update(weights).digest('hex'))
    mkdirSync(join(storage(), 'blobs'), { recursive: true })
    writeFileSync(`${blob}.incomplete`, new Uint8Array(500))
    const path = await resolve('owner/name')
    expect(server.downloadsOf('model.safetensors')).toEqual([`bytes=500-${weights.length - 1}`, null])
    expect(readFileSync(join(path, 'model.safetensors')).equals(weights)).toBe(true)
  })

  it('refuses a file whose hash is wrong, large or small', async () => {
    server.damaged.set('model.safetensors', weights.toReversed())
    expect((await refusal('owner/name')).message).toMatch(/model.safetensors of owner\/name arrived damaged twice/)
    server.damaged.set('config.json', Buffer.from('{"model_type":"LLAMA"}'))
    rmSync(storage(), { recursive: true })
    expect((await refusal('owner/name')).message).toMatch(/config.json of owner\/name arrived damaged twice/)
    expect(existsSync(snapshot())).toBe(false)
  })

  it('refuses to go on with a server that ignores ranges', async () => {
    const blob = join(storage(), 'blobs', createHash('sha256').update(weights).digest('hex'))
    mkdirSync(join(storage(), 'blobs'), { recursive: true })
    writeFileSync(`${blob}.incomplete`, weights.subarray(0, 1000))
    server.ignoresRanges = true
    expect((await refusal('owner/name')).message).toMatch(/ignores byte ranges/)
    expect(statSync(`${blob}.incomplete`).size).toBe(1000)
  })

  it('sends the token to the hub', async () => {
    await resolve('owner/name', { token: 'secret' })
    expect(server.requests.every(({ authorization }) => authorization === 'Bearer secret')).toBe(true)
    server.requests.length = 0
    rmSync(storage(), { recursive: true })
    await resolve('owner/name')
    expect(server.requests.every(({ authorization }) => authorization === null)).toBe(true)
  })

  it.each(['', 'hub.example', 'file:///etc', 'http://'])('refuses %j for a hub', async (wrong) => {
    expect((await refusal('owner/name', { endpoint: wrong })).message).toMatch(/is not an http or https address/)
  })

  it('never writes outside the cache, whatever the file list says', async () => {
    await server.stop()
    await serve({
      'config.json': '{}',
      'model.safetensors': 'x',
      '../../../escape.safetensors': 'x',
      '/abs.safetensors': 'x',
      'a\\b.safetensors': 'x',
    })
    const path = await resolve('owner/name')
    expect(readdirSync(path).sort()).toEqual(['config.json', 'model.safetensors'])
    expect(readdirSync(cacheDir)).toEqual(['models--owner--name'])
  })
})

describe('GGUF repositories', () => {
  const files = {
    'config.json': '{}',
    'Model-0.5B-Q4_K_M.gguf': 'q4',
    'Model-0.5B-Q8_0.gguf': 'q8',
    'BF16/Model-0.5B-BF16-00001-of-00002.gguf': 'a',
    'BF16/Model-0.5B-BF16-00002-of-00002.gguf': 'b',
  }
  beforeEach(async () => {
    await server.stop()
    await serve(files)
  })

  it.each([
    ['Model-0.5B-Q8_0.gguf', 'q8'],
    ['Q4_K_M', 'q4'],
    ['q8_0', 'q8'],
  ])('fetches one file by %s', async (wanted, content) => {
    const path = await resolve(`owner/name:${wanted}`)
    expect(path.startsWith(snapshot())).toBe(true)
    expect(readFileSync(path, 'utf8')).toBe(content)
    expect(await resolve(`owner/name:${wanted}`, { offline: true })).toBe(path)
    expect(readdirSync(snapshot()).length).toBe(1)
  })

  it.each([
    ['owner/name', /has GGUF files only: name one, as in "owner\/name:Model-0.5B-Q4_K_M.gguf"/],
    ['owner/name:Q5_K_M', /has no GGUF file "Q5_K_M". It has Model-0.5B-Q4_K_M.gguf, Model-0.5B-Q8_0.gguf/],
    ['owner/name:K_M', /has no GGUF file "K_M"/],
    ['owner/name:Model-0.5B', /has no GGUF file "Model-0.5B"/],
  ])('explains %s', async (model, message) => {
    const error = await refusal(model)
    expect(error).toBeInstanceOf(ModelNotFoundError)
    expect(error.message).toMatch(message)
  })

  it('explains a label that two files have', async () => {
    await server.stop()
    await serve({ 'a-Q8_0.gguf': 'a', 'b-Q8_0.gguf': 'b' })
    const { message } = await refusal('owner/name:q8_0')
    expect(message).toMatch(/has 2 GGUF files for "q8_0"; give the whole file name/)
  })

  it('matches labels between separators only', () => {
    expect(matchGguf(['m-Q4_K_M.gguf', 'm.Q4_K_M.gguf', 'm-IQ4_K_M.gguf', 'mQ4_K_M.gguf'], 'q4_k_m')).toEqual([
      { parts: ['m-Q4_K_M.gguf'] },
      { parts: ['m.Q4_K_M.gguf'] },
    ])
  })

  const parts = [1, 2, 3].map((i) => `q/m-Q4_K_M-0000${i}-of-00003.gguf`)

  it.each(['Q4_K_M', 'm-Q4_K_M-00001-of-00003.gguf', 'q/m-Q4_K_M-00002-of-00003.gguf'])(
    'takes a split file for one model, by label or by any part: %s',
    (wanted) => {
      expect(matchGguf([...parts, 'm-Q8_0.gguf'], wanted)).toEqual([{ parts }])
    },
  )

  it('fetches all parts of a split file, and needs them all offline', async () => {
    await server.stop()
    await serve(Object.fromEntries(parts.map((part) => [part, `GGUF ${part}`])))
    const first = await resolve('owner/name:Q4_K_M')
    expect(first.endsWith(parts[0]!)).toBe(true)
    for (const part of parts) expect(readFileSync(join(first, '../..', part), 'utf8')).toBe(`GGUF ${part}`)
    expect(await resolve('owner/name:m-Q4_K_M-00001-of-00003.gguf', { offline: true })).toBe(first)
    rmSync(join(first, '../..', parts[1]!))
    expect((await refusal('owner/name:Q4_K_M', { offline: true })).message).toContain('not completely')
  })

  it('names the part that a repository lacks', async () => {
    await server.stop()
    await serve({ [parts[0]!]: 'GGUF', [parts[2]!]: 'GGUF' })
    expect((await refusal('owner/name:Q4_K_M')).message).toContain(parts[1])
  })
})

describe('refusals of the hub', () => {
  it.each<[number, string | undefined, string | undefined, typeof HubError | typeof ModelNotFoundError, RegExp]>([
    [
      401,
      undefined,
      undefined,
      HubError,
      /does not exist or may not be read \(HTTP 401.*set HF_TOKEN if it is private/,
    ],
    [401, undefined, 'token', HubError, /token in HF_TOKEN is valid/],
    [401, 'GatedRepo', undefined, HubError, /is gated.*Accept its terms at http.*\/owner\/name and set HF_TOKEN/],
    [403, 'GatedRepo', 'token', HubError, /is gated \(HTTP 403\).*must be of that account/],
    [404, 'RepoNotFound', undefined, ModelNotFoundError, /owner\/name is not on http.*HTTP 404/],
    [418, undefined, undefined, HubError, /HTTP 418/],
    [429, undefined, undefined, HubError, /HTTP 429.*Try again later/],
    [503, undefined, undefined, HubError, /HTTP 503/],
  ])('%i %s', async (status, errorCode, token, type, message) => {
    server.refusal = { status, ...(errorCode && { errorCode }) }
    const error = await refusal('owner/name', { ...(token && { token }) })
    expect(error).toBeInstanceOf(type)
    expect(error.message).toMatch(message)
    expect(error.message).not.toContain('secret')
  })

  it('explains a missing repository and a missing revision', async () => {
    expect((await refusal('owner/other')).message).toMatch(/owner\/other is not on/)
    const error = await refusal('owner/name', { revision: 'v2' })
    expect(error).toBeInstanceOf(ModelNotFoundError)
    expect(error.message).toMatch(/owner\/name exists, but not in this revision/)
    expect((await resolve('owner/name', { revision: 'v1' })).endsWith(server.commit)).toBe(true)
  })

  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['only pickles', { 'config.json': '{}', 'pytorch_model.bin': 'x' }, /only PyTorch pickles \(pytorch_model.bin\)/],
    ['no weights', { 'config.json': '{}' }, /has no weights/],
    [
      'a shard that is not there',
      { 'model.safetensors.index.json': '{"weight_map":{"a":"b.safetensors"}}' },
      /lists the shard b.safetensors/,
    ],
    [
      'an index that points outside',
      { 'model.safetensors.index.json': '{"weight_map":{"a":"../b.safetensors"}}' },
      /not a plain .safetensors/,
    ],
  ])('explains a repository with %s', async (_, files, message) => {
    await server.stop()
    await serve(files)
    expect((await refusal('owner/name')).message).toMatch(message)
  })
})

describe('without a network', () => {
  it('offline mode uses the cache and never the hub', async () => {
    const path = await resolve('owner/name')
    const before = server.requests.length
    expect(await resolve('owner/name', { offline: true })).toBe(path)
    expect(await resolve('owner/name', { offline: true, revision: server.commit })).toBe(path)
    const error = await refusal('owner/other', { offline: true })
    expect(error).toBeInstanceOf(ModelNotFoundError)
    expect(error.message).toMatch(/is not, or not completely, in the cache .* Unset HF_HUB_OFFLINE/)
    expect(server.requests.length).toBe(before)
  })

  it('a half-downloaded model is not complete', async () => {
    const path = await resolve('owner/name')
    rmSync(join(path, 'model.safetensors'))
    expect((await refusal('owner/name', { offline: true })).message).toMatch(/not completely/)
  })

  it('falls back to the cache when the hub is down, and says so when there is nothing', async () => {
    const path = await resolve('owner/name')
    await server.stop()
    expect(await resolve('owner/name')).toBe(path)
    const error = await refusal('owner/other')
    expect(error).toBeInstanceOf(HubError)
    expect(error.message).toMatch(/can't be reached \(.*ECONNREFUSED.*HF_ENDPOINT/)
  })

  it('does not fall back when the hub refuses', async () => {
    await resolve('owner/name')
    server.refusal = { status: 401 }
    await expect(resolve('owner/name')).rejects.toThrow(HubError)
  })
})

describe('names that need no hub', () => {
  it('takes folders and .gguf files as they are', async () => {
    const folder = mkdtempSync(join(root, 'local-'))
    writeFileSync(join(folder, 'model.gguf'), '')
    expect(await resolve(folder)).toBe(folder)
    expect(await resolve(join(folder, 'model.gguf'))).toBe(join(folder, 'model.gguf'))
    writeFileSync(join(folder, 'model.safetensors'), '')
    expect((await refusal(join(folder, 'model.safetensors'))).message).toMatch(`Pass its folder, ${folder}`)
    expect(server.requests).toEqual([])
  })

  it('names what lies near a wrong path', async () => {
    const folder = mkdtempSync(join(root, 'near-'))
    for (const name of ['llama-q4_0.gguf', 'llama-q8_0.gguf', 'unrelated.txt']) writeFileSync(join(folder, name), '')
    const error = await refusal(join(folder, 'llama-q4_1.gguf'))
    expect(error).toBeInstanceOf(ModelNotFoundError)
    expect(error.message).toMatch(/Near it: llama-q4_0.gguf, llama-q8_0.gguf\.$/)
    expect((await refusal(join(folder, 'sub', 'model.gguf'))).message).toMatch(/sub does not exist either/)
  })

  it('refuses a link that leads back to itself with its path', async () => {
    const link = join(root, 'loop')
    symlinkSync(link, link)
    expect(await refusal(link)).toBeInstanceOf(ModelNotFoundError)
    expect((await refusal(link)).message).toContain('ELOOP')
  })

  it('finds the embedded model', async () => {
    const path = await resolve('octavo-tiny')
    expect(existsSync(join(path, 'model.safetensors'))).toBe(true)
    expect(await resolve('mine', { embeddedModels: { mine: '/models/mine' } })).toBe('/models/mine')
    await expect(resolve('toString', { embeddedModels: {} })).rejects.toThrow(ModelNotFoundError)
  })

  it.each(['./none', '../none', '/none/at/all', '~/none', 'none.gguf', 'a\\b', 'C:\\none', 'a/b/c', 'sub/none.gguf'])(
    'takes %s for a path',
    async (model) => {
      const error = await refusal(model)
      expect(error).toBeInstanceOf(ModelNotFoundError)
      expect(error.message).toMatch(/There is no file or folder/)
      expect(server.requests).toEqual([])
    },
  )

  it.each(['', 'gpt2', 'owner/..', '../name', 'own er/name', 'owner/name:'])(
    'refuses %j, which names nothing',
    async (model) => {
      const error = await refusal(model)
      expect(error).toBeInstanceOf(ModelNotFoundError)
      expect(server.requests).toEqual([])
    },
  )

  it.each(['../main', 'a//b', 'refs/../x', '', '-x'])('refuses the revision %j', async (revision) => {
    expect((await refusal('owner/name', { revision })).message).toMatch(/is not a branch, tag or commit/)
    expect(server.requests).toEqual([])
  })
})
