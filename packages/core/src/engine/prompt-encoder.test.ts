import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import { EngineDeadError, TokenizerError } from '../errors.ts'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { embeddedModelPath } from '../loading/embedded-model.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import type { JsonObject } from '../util/json-object.ts'
import { loadFrontModel } from './front-model.ts'
import { ThreadedPromptEncoder } from './prompt-encoder.ts'

const tiny = embeddedModelPath('octavo-tiny')
const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

/** octavo-tiny with another pre-tokenizer or normalizer. */
function variant(edit: JsonObject): string {
  const folder = mkdtempSync(join(tmpdir(), 'octavo-tokenizer-'))
  cpSync(tiny, folder, { recursive: true })
  const path = join(folder, 'tokenizer.json')
  writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as JsonObject), ...edit }))
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function open(modelPath: string, encodeTimeoutMs = 10_000) {
  const tokenizer = createTokenizer((await openCheckpoint(modelPath)).readTokenizer())
  const encoder = new ThreadedPromptEncoder(tokenizer, { modelPath, encodeTimeoutMs })
  cleanups.push(() => encoder.close())
  return { tokenizer, encoder }
}

const options = { addSpecialTokens: true }
const long = 'The small cat likes eight fish. 那些小老鼠喜欢八顶帽子。\n'.repeat(2000)
const endless = { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false }

describe('ThreadedPromptEncoder', () => {
  it('encodes a long text elsewhere, to the same ids, while this thread goes on', async () => {
    const { tokenizer, encoder } = await open(tiny)
    let hasGoneOn = false
    setImmediate(() => (hasGoneOn = true))
    expect(await encoder.encode(long, options)).toEqual(tokenizer.encode(long))
    expect(hasGoneOn).toBe(true)
  })

  it('encodes a short text at once', async () => {
    const { tokenizer, encoder } = await open(tiny)
    expect(encoder.encode('The small cat', options)).toEqual(tokenizer.encode('The small cat'))
  })

  it('ends a text that takes too long, naming the limit, and goes on with the next', async () => {
    const { encoder } = await open(variant({ pre_tokenizer: endless }), 300)
    const slow = encoder.encode(`${'a'.repeat(60)}!`, options)
    const next = encoder.encode('b', options)
    await expect(slow).rejects.toThrow(TokenizerError)
    await expect(slow).rejects.toThrow(/61 characters.*301 ms/)
    expect(await next).toHaveLength(1)
  })

  it('forgets a text that nobody waits for any more', async () => {
    const { encoder } = await open(tiny)
    const abort = new AbortController()
    const first = encoder.encode(long, options)
    const dropped = encoder.encode(long, { ...options, signal: abort.signal })
    abort.abort(new Error('gone'))
    await expect(dropped).rejects.toThrow('gone')
    expect((await first).length).toBeGreaterThan(1000)
  })

  it('fails what it holds when it is closed', async () => {
    const { encoder } = await open(tiny)
    const held = encoder.encode(long, options)
    const failure = expect(held).rejects.toThrow(EngineDeadError)
    await encoder.close()
    await failure
    await expect(encoder.encode(long, options)).rejects.toThrow(EngineDeadError)
  })
})

describe('a hostile tokenizer.json', () => {
  const load = (edit: JsonObject) => {
    const folder = variant(edit)
    return loadFrontModel(resolveEngineConfig({ model: folder }), folder, { tokenizerTimeoutMs: 300 })
  }
  const doubling = { type: 'Replace', pattern: { String: 'a' }, content: 'aa' }

  it.each<[string, JsonObject, RegExp]>([
    ['a pattern that backtracks for ever', { pre_tokenizer: endless }, /patterns that take too long.*300 ms|301 ms/],
    [
      'sixty doublings',
      { normalizer: { type: 'Sequence', normalizers: Array.from({ length: 60 }, () => doubling) } },
      /normalizers \(Replace\).*at most 64 times/,
    ],
    [
      'a prefix of 5 MB',
      { normalizer: { type: 'Prepend', prepend: 'a'.repeat(5_000_000) } },
      /Prepend has a content of 5000000 characters/,
    ],
    ['an unknown part', { pre_tokenizer: { type: 'Klingon' } }, /"Klingon" is not supported/],
  ])('with %s is refused at load', async (_, edit, message) => {
    await expect(load(edit)).rejects.toThrow(TokenizerError)
    await expect(load(edit)).rejects.toThrow(message)
  })
})
