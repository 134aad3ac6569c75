import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveSamplingParams, type SamplingParamsInput } from '../sampling-params.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { RequestOutput } from '../sequence/outputs.ts'
import { packLogprobs } from '../sequence/packed-logprobs.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import { TurnQueue } from '../util/turn-queue.ts'
import { OutputProcessor } from './output-processor.ts'
import type { OutputRequest, RequestOutputs } from './request-outputs.ts'

const tokenizerJson = JSON.parse(
  readFileSync(new URL('../../models/octavo-tiny/tokenizer.json', import.meta.url), 'utf8'),
) as Record<string, unknown>
const tokenizer = createTokenizer({ tokenizerJson, tokenizerConfig: {} })
const ids = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false })
const eos = 2553

const update = (id: string, tokenId: number | null, rest: Partial<SequenceUpdate> = {}): SequenceUpdate => ({
  id,
  newTokenIds: tokenId === null ? [] : [tokenId],
  logprobs: null,
  promptLogprobs: null,
  finishReason: null,
  stopReason: null,
  error: null,
  numCachedTokens: 0,
  times: { queuedMs: 0, scheduledMs: 0, firstTokenMs: 0, lastTokenMs: 2 },
  ...rest,
})

const entryOf = (tokenId: number) => ({
  chosen: { tokenId, logprob: -0.5, rank: 1 },
  top: [{ tokenId, logprob: -0.5, rank: 1 }],
})

function request(params: SamplingParamsInput, rest: Partial<OutputRequest> = {}): OutputRequest {
  return {
    requestId: 'r',
    prompt: 'Hi',
    promptTokenIds: ids('Hi'),
    params: resolveSamplingParams({ maxTokens: 100, ...params }, { vocabSize: 2560, maxLogprobs: 20 }),
    sequenceIds: ['r#0'],
    outputKind: 'delta',
    ...rest,
  }
}

function open(params: SamplingParamsInput, rest: Partial<OutputRequest> = {}) {
  const processor = new OutputProcessor(tokenizer, new TurnQueue())
  return { processor, outputs: processor.addRequest(request(params, rest)) }
}

/** Reads until there is nothing new. */
async function takeAll(outputs: RequestOutputs): Promise<RequestOutput[]> {
  const taken: RequestOutput[] = []
  for (let output = await outputs.take(); output !== null; output = await outputs.take()) taken.push(output)
  return taken
}

/** Feeds tokens until the sample ends, and reads each at once; the last one ends it by length. */
async function run(
  params: SamplingParamsInput,
  tokens: readonly number[],
  outputKind: OutputRequest['outputKind'],
): Promise<{ outputs: RequestOutput[]; aborted: string[] }> {
  const { processor, outputs } = open(params, { outputKind })
  const taken: RequestOutput[] = []
  const aborted: string[] = []
  for (const [i, token] of tokens.entries()) {
    const step = processor.process([update('r#0', token, { finishReason: i === tokens.length - 1 ? 'length' : null })])
    taken.push(...(await takeAll(outputs)))
    aborted.push(...step.abortedSequenceIds)
    if (taken.at(-1)?.finished) break
  }
  return { outputs: taken, aborted }
}

describe('OutputProcessor', () => {
  it('deltas add up to the final output, whatever the text and the stop strings', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({
          unit: fc.constantFrom('the ', 'cat ', 'a', 'b', '老师', '图', '🦜', '\n', 'dog'),
          minLength: 1,
          maxLength: 30,
        }),
        fc.array(fc.constantFrom('cat', 'at d', 'ab', 'ba', '师图', '🦜', 'the cat the', '\n'), { maxLength: 3 }),
        fc.boolean(),
        fc.integer({ min: 0, max: 4 }),
        async (text, stop, includeStopStrInOutput, minTokens) => {
          const tokens = ids(text)
          const params = { stop, includeStopStrInOutput, minTokens }
          const deltas = (await run(params, tokens, 'delta')).outputs
          const cumulative = (await run(params, tokens, 'cumulative')).outputs
          const final = (await run(params, tokens, 'final')).outputs
          expect(final).toHaveLength(1)
          const whole = final[0]!.outputs[0]!
          expect(deltas.map((o) => o.outputs[0]!.text).join('')).toBe(whole.text)
          expect(deltas.flatMap((o) => o.outputs[0]!.tokenIds)).toEqual(whole.tokenIds)
          expect(cumulative.at(-1)).toEqual(final[0])
          for (const output of cumulative) expect(whole.text.startsWith(output.outputs[0]!.text)).toBe(true)
          if (stop.length === 0) expect(whole.text).toBe(text)
          if (whole.finishReason === 'stop' && !includeStopStrInOutput)
            expect(text.startsWith(whole.text + String(whole.stopReason))).toBe(true)
        },
      ),
    )
  })

  it('ends at a stop string and tells the engine', async () => {
    const { outputs, aborted } = await run({ stop: ['cat'] }, ids('The old cat sleeps.'), 'final')
    expect(outputs[0]?.outputs[0]).toMatchObject({ text: 'The old ', finishReason: 'stop', stopReason: 'cat' })
    expect(aborted).toEqual(['r#0'])
  })

  it('looks at stop strings only after minTokens', async () => {
    const tokens = ids('cat dog cat dog')
    const early = (await run({ stop: ['cat'] }, tokens, 'final')).outputs[0]!.outputs[0]!
    const late = (await run({ stop: ['cat'], minTokens: 2 }, tokens, 'final')).outputs[0]!.outputs[0]!
    expect(early.text).toBe('')
    expect(late.text.startsWith('cat')).toBe(true)
    expect(late).toMatchObject({ finishReason: 'stop', stopReason: 'cat' })
  })

  it('leaves the token that ended it out of the text, not out of the ids', async () => {
    const { processor, outputs } = open({ skipSpecialTokens: false }, { outputKind: 'final' })
    const word = ids('cat')
    processor.process(word.map((id) => update('r#0', id)))
    processor.process([update('r#0', eos, { finishReason: 'stop' })])
    expect((await outputs.take())?.outputs[0]).toMatchObject({
      text: 'cat',
      tokenIds: [...word, eos],
      finishReason: 'stop',
      stopReason: null,
    })
  })

  it('keeps samples apart and finishes with the last', async () => {
    const { processor, outputs } = open({ n: 2 }, { sequenceIds: ['r#0', 'r#1'] })
    const [cat, dog] = [ids('cat')[0]!, ids('dog')[0]!]
    const first = processor.process([update('r#0', cat, { finishReason: 'length' }), update('r#1', dog)])
    expect(first.touched).toEqual([outputs])
    expect(await outputs.take()).toMatchObject({ finished: false, outputs: [{ index: 0 }, { index: 1 }] })
    processor.process([update('r#1', cat, { finishReason: 'length' })])
    expect(await outputs.take()).toMatchObject({ finished: true, outputs: [{ index: 1 }] })
    expect(processor.process([update('r#1', cat)]).touched).toEqual([])
    expect(await outputs.take()).toBeNull()
  })

  it('decodes logprobs to text and bytes that join to the text', async () => {
    const { processor, outputs } = open({ logprobs: 1 }, { outputKind: 'final' })
    const tokens = ids('老师 🦜 ok')
    for (const [i, id] of tokens.entries()) {
      const finishReason = i === tokens.length - 1 ? 'length' : null
      processor.process([update('r#0', id, { logprobs: packLogprobs([entryOf(id)]), finishReason })])
    }
    const sample = (await outputs.take())!.outputs[0]!
    expect(Buffer.from(sample.logprobs!.flatMap((l) => l.chosen.bytes)).toString('utf8')).toBe('老师 🦜 ok')
    expect(sample.cumulativeLogprob).toBeCloseTo(-0.5 * tokens.length)
  })

  it('aborts with what there is', async () => {
    const { processor, outputs } = open({}, { outputKind: 'cumulative' })
    processor.process(ids('cat').map((id) => update('r#0', id)))
    processor.abort('r')
    expect(await outputs.take()).toMatchObject({ finished: true, outputs: [{ text: 'cat', finishReason: 'abort' }] })
    expect(await outputs.take()).toBeNull()
  })

  it('gives no text without detokenization', async () => {
    const { outputs } = await run({ detokenize: false }, ids('cat dog'), 'final')
    expect(outputs[0]?.outputs[0]).toMatchObject({ text: '', finishReason: 'length' })
    expect(outputs[0]?.outputs[0]?.tokenIds).toEqual(ids('cat dog'))
  })
})

describe('text offsets', () => {
  const fixtures = new URL('../../../../fixtures/tokenizers/', import.meta.url)
  const read = (path: string): Record<string, unknown> => JSON.parse(readFileSync(new URL(path, fixtures), 'utf8'))
  const tokenizers = ['bytelevel-llama3', 'spm-bpe-llama2'].map((name) => {
    return [name, createTokenizer({ tokenizerJson: read(`${name}/tokenizer.json`), tokenizerConfig: {} })] as const
  })

  it.each(tokenizers)(
    'of %s are where tokens begin, halves of characters and wrong bytes among them',
    async (_, used) => {
      // The bytes of two characters, in and out of order, between words.
      const bytes = Array.from(Buffer.from('😀é'), (byte) => {
        const id = Array.from({ length: used.vocabSize }, (_, i) => i).find((i) => {
          const found = used.tokenBytes(i)
          return found.length === 1 && found[0] === byte && !used.specialTokenIds.has(i)
        })
        return id!
      })
      const words = [...used.encode('Hello you two', { addSpecialTokens: false }), [...used.specialTokenIds][0]!]
      const token = fc.oneof(fc.constant(bytes), fc.constantFrom(...[...bytes, ...words].map((id) => [id])))
      const lists = fc.array(token, { minLength: 1, maxLength: 12 })
      await fc.assert(
        fc.asyncProperty(
          lists,
          fc.boolean(),
          fc.constantFrom('delta', 'final'),
          async (list, skipSpecialTokens, outputKind) => {
            const tokenIds = list.flat()
            const processor = new OutputProcessor(used, new TurnQueue())
            const promptTokenIds = used.encode('Hi', { addSpecialTokens: false })
            const held = processor.addRequest(
              request({ logprobs: 0, skipSpecialTokens }, { outputKind, promptTokenIds }),
            )
            const outputs: RequestOutput[] = []
            for (const [i, id] of tokenIds.entries()) {
              const logprobs = packLogprobs([{ chosen: { tokenId: id, logprob: -1, rank: 1 }, top: [] }])
              const isLast = i === tokenIds.length - 1
              processor.process([update('r#0', id, { logprobs, finishReason: isLast ? 'length' : null })])
              outputs.push(...(await takeAll(held)))
            }
            const samples = outputs.flatMap(({ outputs: found }) => found)
            const text = Array.from(samples.map((sample) => sample.text).join(''))
            const entries = samples.flatMap(({ logprobs }) => logprobs ?? [])
            expect(entries.length).toBe(tokenIds.length)
            let last = 0
            for (const { chosen, textOffset } of entries) {
              expect(textOffset).toBeGreaterThanOrEqual(last)
              expect(textOffset).toBeLessThanOrEqual(text.length)
              last = textOffset
              const isSkipped = skipSpecialTokens && used.specialTokenIds.has(chosen.tokenId)
              if (isSkipped || chosen.token.includes('\u{fffd}')) continue
              expect(text.slice(textOffset, textOffset + chosen.token.length).join('')).toBe(chosen.token)
            }
          },
        ),
      )
    },
  )
})

describe('a reader that is slow', () => {
  const numTokens = 3000
  const tokens = Array.from({ length: numTokens }, (_, i) => 300 + (i % 7))
  const feed = (processor: OutputProcessor, id: string) => {
    for (const [i, token] of tokens.entries()) {
      const finishReason = i === numTokens - 1 ? 'length' : null
      processor.process([update(id, token, { logprobs: packLogprobs([entryOf(token)]), finishReason })])
    }
  }

  it('gets all of it, sample by sample, in outputs of a bounded number of logprobs', async () => {
    const { processor, outputs } = open({ n: 2, logprobs: 1 }, { sequenceIds: ['r#0', 'r#1'] })
    feed(processor, 'r#0')
    feed(processor, 'r#1')
    const taken = await takeAll(outputs)
    const samples = taken.flatMap((output) => output.outputs)
    for (const index of [0, 1]) {
      const mine = samples.filter((sample) => sample.index === index)
      expect(mine.flatMap((sample) => sample.tokenIds)).toEqual(tokens)
      expect(mine.flatMap((sample) => sample.logprobs!.map((l) => l.chosen.tokenId))).toEqual(tokens)
      expect(mine.map((sample) => sample.text).join('')).toBe(tokenizer.decode(tokens))
      expect(mine.map((sample) => sample.finishReason).filter(Boolean)).toEqual(['length'])
      expect(mine.at(-1)?.finishReason).toBe('length')
    }
    for (const { logprobs } of samples) expect(logprobs!.length).toBeLessThan(700)
    expect(taken.map((output) => output.finished).lastIndexOf(false)).toBe(taken.length - 2)
  })

  it('that reads nothing holds packed numbers alone, and nothing of what was taken', async () => {
    const { processor, outputs } = open({ logprobs: 1 })
    feed(processor, 'r#0')
    // Per token two entries of three numbers, and their count.
    expect(outputs.numHeld).toEqual({
      tokens: numTokens,
      logprobNumbers: 7 * numTokens,
      characters: expect.any(Number),
    })
    await takeAll(outputs)
    expect(outputs.numHeld).toEqual({ tokens: 0, logprobNumbers: 0, characters: 0 })
  })

  it('gets a large answer in parts, once it is finished: sample by sample, what is not read yet packed', async () => {
    const promptLogprobs = packLogprobs([null, entryOf(5)])
    const { processor, outputs } = open(
      { n: 2, logprobs: 1, promptLogprobs: 1 },
      { sequenceIds: ['r#0', 'r#1'], outputKind: 'parts' },
    )
    processor.process([update('r#1', 300, { promptLogprobs, logprobs: packLogprobs([entryOf(300)]) })])
    feed(processor, 'r#0')
    expect(await outputs.take()).toBeNull()
    processor.process([update('r#1', 301, { logprobs: packLogprobs([entryOf(301)]), finishReason: 'length' })])
    expect(await outputs.take()).toMatchObject({ outputs: [], finished: false, promptLogprobs: null })
    const all = 7 * (numTokens + 2)
    expect(outputs.numHeld.logprobNumbers).toBe(all)
    const first = (await outputs.take())!
    expect(first.outputs.map(({ index }) => index)).toEqual([0])
    expect(first.promptLogprobs).toHaveLength(2)
    expect(outputs.numHeld.logprobNumbers).toBe(all - 7 * first.outputs[0]!.logprobs!.length)
    const rest = await takeAll(outputs)
    const samples = [first, ...rest].flatMap((output) => output.outputs)
    for (const { logprobs } of samples) expect(logprobs!.length).toBeLessThan(700)
    expect(samples.map(({ index }) => index)).toEqual(samples.map(({ index }) => index).toSorted())
    const mine = samples.filter(({ index }) => index === 0)
    expect(mine.flatMap(({ tokenIds }) => tokenIds)).toEqual(tokens)
    expect(samples.at(-1)).toMatchObject({ index: 1, tokenIds: [300, 301], finishReason: 'length' })
    expect(rest.map(({ finished }) => finished).indexOf(true)).toBe(rest.length - 1)
  })

  it('gets no more logprobs at once where the samples are many', async () => {
    const sequenceIds = Array.from({ length: 100 }, (_, i) => `r#${i}`)
    const { processor, outputs } = open({ n: 100, logprobs: 1 }, { sequenceIds })
    const logprobs = packLogprobs(tokens.slice(0, 50).map(entryOf))
    processor.process(
      sequenceIds.map((id) => update(id, null, { newTokenIds: tokens.slice(0, 50), logprobs, finishReason: 'length' })),
    )
    const taken = await takeAll(outputs)
    const counts = taken.map((output) => output.outputs.reduce((total, sample) => total + sample.logprobs!.length, 0))
    expect(counts.reduce((total, count) => total + count)).toBe(5000)
    expect(Math.max(...counts)).toBeLessThan(750)
    expect(taken.flatMap((output) => output.outputs.map(({ index }) => index))).toEqual(sequenceIds.map((_, i) => i))
  })
})
