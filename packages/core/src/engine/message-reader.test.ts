import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { joinMessages } from '../chat-format/message-delta.ts'
import type { OutputParser } from '../chat-format/output-parser.ts'
import { resolveSamplingParams, type SamplingParamsInput } from '../sampling-params.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import { TurnQueue } from '../util/turn-queue.ts'
import { LogprobDecoder } from './logprob-decoder.ts'
import { SampleOutput } from './sample-output.ts'
import { compileStops } from './stop-strings.ts'

const tokenizerJson = JSON.parse(
  readFileSync(new URL('../../models/octavo-tiny/tokenizer.json', import.meta.url), 'utf8'),
) as Record<string, unknown>
const tokenizer = createTokenizer({ tokenizerJson, tokenizerConfig: {} })
const decoder = new LogprobDecoder(tokenizer, new TurnQueue())
const start = tokenizer.tokenToId('<|im_start|>')!
const idsOf = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false })

/** Content is what it is given, special tokens in guillemets, and a full stop at its end. */
function createParser(): OutputParser {
  let content = ''
  return {
    push: (text, isSpecial) => void (content += isSpecial ? `«${text}»` : text),
    finish: () => void (content += '.'),
    take() {
      const taken = { reasoning: '', content, toolCalls: [] }
      content = ''
      return taken
    },
  }
}

function open(params: SamplingParamsInput): SampleOutput {
  const resolved = resolveSamplingParams({ maxTokens: 1000, ...params }, { vocabSize: 2560, maxLogprobs: 20 })
  const stops = compileStops(resolved.stop)
  return new SampleOutput({ index: 0, params: resolved, promptTokenIds: [], decoder, stops, messages: createParser })
}

function push(sample: SampleOutput, tokenIds: readonly number[], isLast: boolean): void {
  sample.push({
    id: 's',
    newTokenIds: tokenIds,
    logprobs: null,
    promptLogprobs: null,
    finishReason: isLast ? 'length' : null,
    stopReason: null,
    error: null,
    numCachedTokens: 0,
    times: { queuedMs: 0, scheduledMs: 0, firstTokenMs: 0, lastTokenMs: 2 },
  })
}

async function whole(tokenIds: readonly number[], params: SamplingParamsInput) {
  const sample = open(params)
  for (const [i, id] of tokenIds.entries()) push(sample, [id], i === tokenIds.length - 1)
  return sample.takeAll()
}

describe('a sample that is read by a parser', () => {
  const tokens = [...idsOf('one'), start, ...idsOf('two'), start]

  it('has special tokens in its message, and in its text only if asked for', async () => {
    const hidden = await whole(tokens, {})
    expect(hidden).toMatchObject({ text: 'onetwo', message: { content: 'one«<|im_start|>»two«<|im_start|>».' } })
    const shown = await whole(tokens, { skipSpecialTokens: false })
    expect(shown.text).toBe('one<|im_start|>two<|im_start|>')
    expect(shown.message?.content).toBe(hidden.message?.content)
  })

  it('ends with what a stop string leaves of the text', async () => {
    expect(await whole(tokens, { stop: ['tw'] })).toMatchObject({
      text: 'one',
      message: { content: 'one«<|im_start|>».' },
    })
    expect(await whole(tokens, { stop: ['etw'] })).toMatchObject({ text: 'on', message: { content: 'on.' } })
    expect(await whole(tokens, { stop: ['im_st'], skipSpecialTokens: false })).toMatchObject({
      text: 'one<|',
      message: { content: 'one<|.' },
    })
  })

  it('says nothing of text that may begin a stop string, nor of special tokens behind it', () => {
    const sample = open({ stop: ['two!'] })
    push(sample, [...idsOf('one'), ...idsOf('tw')], false)
    expect(sample.takeDelta().message?.content).toBe('one')
    push(sample, [start], false)
    expect(sample.takeDelta().message?.content).toBe('')
    expect(sample.numHeld.characters).toBe('tw<|im_start|>'.length)
    push(sample, idsOf('x'), true)
    expect(sample.takeDelta().message?.content).toBe('tw«<|im_start|>»x.')
  })

  it('counts nothing as special where a character was incomplete before', async () => {
    const [, ...half] = idsOf('🦆').toReversed()
    const { text, message } = await whole([...half.toReversed(), start], {})
    expect(text).toBe('\u{fffd}')
    expect(message?.content).toBe('\u{fffd}«<|im_start|>».')
  })

  it('is the same however it is read', async () => {
    const token = fc.oneof(fc.constant(start), fc.integer({ min: 0, max: 2559 }), fc.constantFrom(...idsOf('ab <|im')))
    const stop = fc.constantFrom('a', 'b <', '<|im_start|>', '|>', 'start|><', ' ')
    const scenario = fc.record({
      steps: fc.array(fc.record({ ids: fc.array(token, { minLength: 1, maxLength: 3 }), isRead: fc.boolean() }), {
        minLength: 1,
        maxLength: 20,
      }),
      params: fc.record({
        stop: fc.array(stop, { maxLength: 2 }),
        skipSpecialTokens: fc.boolean(),
        includeStopStrInOutput: fc.boolean(),
      }),
    })
    await fc.assert(
      fc.asyncProperty(scenario, async ({ steps, params }) => {
        const expected = await whole(
          steps.flatMap(({ ids }) => ids),
          params,
        )
        const [streamed, cumulative] = [open(params), open(params)]
        const deltas = []
        for (const [i, { ids, isRead }] of steps.entries()) {
          for (const sample of [streamed, cumulative]) push(sample, ids, i === steps.length - 1)
          if (!isRead) continue
          deltas.push(streamed.takeDelta())
          await cumulative.takeAll()
        }
        deltas.push(streamed.takeDelta())
        expect(deltas.map(({ text }) => text).join('')).toBe(expected.text)
        expect(joinMessages(deltas.map(({ message }) => message!))).toEqual(expected.message)
        expect((await cumulative.takeAll()).message).toEqual(expected.message)
      }),
      { numRuns: 500 },
    )
  })
})
