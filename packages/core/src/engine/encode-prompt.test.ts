import { describe, expect, it } from 'vitest'
import { ContextLengthError, InvalidRequestError, TokenizerError } from '../errors.ts'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { embeddedModelPath } from '../loading/embedded-model.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { encodePrompt, type EncodePromptOptions } from './encode-prompt.ts'

const tiny = createTokenizer((await openCheckpoint(embeddedModelPath('octavo-tiny'))).readTokenizer())
const options: EncodePromptOptions = { addSpecialTokens: true, maxModelLen: 1024, cutSide: null }

/** The tokenizer, and how many characters it was given. */
function counted(): { tokenizer: Tokenizer; numChars: () => number } {
  let numChars = 0
  const encode: Tokenizer['encode'] = (text, encodeOptions) => {
    numChars += text.length
    return tiny.encode(text, encodeOptions)
  }
  const tokenizer = new Proxy(tiny, { get: (_, key) => (key === 'encode' ? encode : Reflect.get(tiny, key, tiny)) })
  return { tokenizer, numChars: () => numChars }
}

async function failure(run: () => Promise<unknown>): Promise<unknown> {
  try {
    return await run()
  } catch (error) {
    return error
  }
}

describe('encodePrompt', () => {
  it('gives the tokens of the whole text where it may fit', async () => {
    const text = 'The small cat likes eight fish. 那些小老鼠喜欢八顶帽子。'.repeat(60)
    expect(await encodePrompt(tiny, text, options)).toEqual(tiny.encode(text))
  })

  it.each(['a', '猫', ' ', '<|im_start|>', 'The small cat. '])(
    'refuses millions of %j after a look at the first',
    async (unit) => {
      const { tokenizer, numChars } = counted()
      const error = await failure(() => encodePrompt(tokenizer, unit.repeat(4_000_000 / unit.length), options))
      expect(error).toBeInstanceOf(ContextLengthError)
      expect(error).toHaveProperty('message', expect.stringMatching(/at least \d+ tokens/))
      expect(numChars()).toBeLessThan(100_000)
    },
  )

  it('looks as far as it must where few tokens hold much text', async () => {
    const roomy: Tokenizer = new Proxy(tiny, {
      get: (_, key) => (key === 'encode' ? (text: string) => Array(Math.ceil(text.length / 100)).fill(7) : undefined),
    })
    expect(await encodePrompt(roomy, 'x'.repeat(100_000), options)).toHaveLength(1000)
    expect(await failure(() => encodePrompt(roomy, 'x'.repeat(1_000_000), options))).toBeInstanceOf(ContextLengthError)
  })

  it.each(['left', 'right'] as const)('tokenizes a bounded part of a text that is cut on the %s', async (cutSide) => {
    const { tokenizer, numChars } = counted()
    const ids = await encodePrompt(tokenizer, `begin ${'x '.repeat(2_000_000)}end`, { ...options, cutSide })
    const [kept, lost] = cutSide === 'left' ? ['end', 'begin'] : ['begin', 'end']
    expect(tiny.decode(ids)).toContain(kept)
    expect(tiny.decode(ids)).not.toContain(lost)
    expect(numChars()).toBeLessThanOrEqual(65_536)
  })

  it("makes the tokenizer's refusal the request's fault", async () => {
    const refusing: Tokenizer = new Proxy(tiny, {
      get: () => () => {
        throw new TokenizerError('too long')
      },
    })
    expect(await failure(() => encodePrompt(refusing, 'x', options))).toBeInstanceOf(InvalidRequestError)
  })
})
