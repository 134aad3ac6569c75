import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveSamplingParams, type SamplingParamsInput } from '../sampling-params.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { RequestOutput } from '../sequence/outputs.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import { OutputProcessor, type OutputRequest } from './output-processor.ts'

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
  times: { queuedMs: 0, scheduledMs: 0, firstTokenMs: 0 },
  ...rest,
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

/** Feeds tokens until the sample ends; the last one ends it by length. */
function feed(processor: OutputProcessor, tokens: readonly number[]): { outputs: RequestOutput[]; aborted: string[] } {
  const outputs: RequestOutput[] = []
  const aborted: string[] = []
  for (const [i, token] of tokens.entries()) {
    const step = processor.process([update('r#0', token, { finishReason: i === tokens.length - 1 ? 'length' : null })])
    outputs.push(...step.outputs)
    aborted.push(...step.abortedSequenceIds)
    if (outputs.at(-1)?.finished) break
  }
  return { outputs, aborted }
}

function run(
  params: SamplingParamsInput,
  tokens: readonly number[],
  outputKind: OutputRequest['outputKind'],
): { outputs: RequestOutput[]; aborted: string[] } {
  const processor = new OutputProcessor(tokenizer)
  processor.addRequest(request(params, { outputKind }))
  return feed(processor, tokens)
}

describe('OutputProcessor', () => {
  it('deltas add up to the final output, whatever the text and the stop strings', () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom('the ', 'cat ', 'a', 'b', '老师', '图', '🦜', '\n', 'dog'),
          minLength: 1,
          maxLength: 30,
        }),
        fc.array(fc.constantFrom('cat', 'at d', 'ab', 'ba', '师图', '🦜', 'the cat the', '\n'), { maxLength: 3 }),
        fc.boolean(),
        fc.integer({ min: 0, max: 4 }),
        (text, stop, includeStopStrInOutput, minTokens) => {
          const tokens = ids(text)
          const params = { stop, includeStopStrInOutput, minTokens }
          const deltas = run(params, tokens, 'delta').outputs
          const cumulative = run(params, tokens, 'cumulative').outputs
          const final = run(params, tokens, 'final').outputs
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

  it('ends at a stop string and tells the engine', () => {
    const { outputs, aborted } = run({ stop: ['cat'] }, ids('The old cat sleeps.'), 'final')
    expect(outputs[0]?.outputs[0]).toMatchObject({ text: 'The old ', finishReason: 'stop', stopReason: 'cat' })
    expect(aborted).toEqual(['r#0'])
  })

  it('looks at stop strings only after minTokens', () => {
    const tokens = ids('cat dog cat dog')
    const early = run({ stop: ['cat'] }, tokens, 'final').outputs[0]!.outputs[0]!
    const late = run({ stop: ['cat'], minTokens: 2 }, tokens, 'final').outputs[0]!.outputs[0]!
    expect(early.text).toBe('')
    expect(late.text.startsWith('cat')).toBe(true)
    expect(late).toMatchObject({ finishReason: 'stop', stopReason: 'cat' })
  })

  it('leaves the token that ended it out of the text, not out of the ids', () => {
    const processor = new OutputProcessor(tokenizer)
    processor.addRequest(request({ skipSpecialTokens: false }, { outputKind: 'final' }))
    const word = ids('cat')
    processor.process(word.map((id) => update('r#0', id)))
    const { outputs } = processor.process([update('r#0', eos, { finishReason: 'stop' })])
    expect(outputs[0]?.outputs[0]).toMatchObject({
      text: 'cat',
      tokenIds: [...word, eos],
      finishReason: 'stop',
      stopReason: null,
    })
  })

  it('keeps samples apart and finishes with the last', () => {
    const processor = new OutputProcessor(tokenizer)
    processor.addRequest(request({ n: 2 }, { sequenceIds: ['r#0', 'r#1'] }))
    const [cat, dog] = [ids('cat')[0]!, ids('dog')[0]!]
    const first = processor.process([update('r#0', cat, { finishReason: 'length' }), update('r#1', dog)])
    expect(first.outputs).toHaveLength(1)
    expect(first.outputs[0]).toMatchObject({ finished: false, outputs: [{ index: 0 }, { index: 1 }] })
    const second = processor.process([update('r#1', cat, { finishReason: 'length' })])
    expect(second.outputs[0]).toMatchObject({ finished: true, outputs: [{ index: 1 }] })
    expect(processor.process([update('r#1', cat)]).outputs).toEqual([])
  })

  it('decodes logprobs to text and bytes that join to the text', () => {
    const processor = new OutputProcessor(tokenizer)
    processor.addRequest(request({ logprobs: 1 }, { outputKind: 'final' }))
    const tokens = ids('老师 🦜 ok')
    const entry = (tokenId: number) => ({
      chosen: { tokenId, logprob: -0.5, rank: 1 },
      top: [{ tokenId, logprob: -0.5, rank: 1 }],
    })
    const outputs = tokens.flatMap(
      (id, i) =>
        processor.process([
          update('r#0', id, { logprobs: [entry(id)], finishReason: i === tokens.length - 1 ? 'length' : null }),
        ]).outputs,
    )
    const sample = outputs[0]!.outputs[0]!
    expect(Buffer.from(sample.logprobs!.flatMap((l) => l.chosen.bytes)).toString('utf8')).toBe('老师 🦜 ok')
    expect(sample.cumulativeLogprob).toBeCloseTo(-0.5 * tokens.length)
  })

  it('aborts with what there is', () => {
    const processor = new OutputProcessor(tokenizer)
    processor.addRequest(request({}, { outputKind: 'cumulative' }))
    processor.process(ids('cat').map((id) => update('r#0', id)))
    expect(processor.abort('r')).toMatchObject({ finished: true, outputs: [{ text: 'cat', finishReason: 'abort' }] })
    expect(processor.abort('r')).toBeNull()
  })

  it('gives no text without detokenization', () => {
    const { outputs } = run({ detokenize: false }, ids('cat dog'), 'final')
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

  it.each(tokenizers)('of %s are where tokens begin, halves of characters and wrong bytes among them', (_, used) => {
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
    fc.assert(
      fc.property(lists, fc.boolean(), fc.constantFrom('delta', 'final'), (list, skipSpecialTokens, outputKind) => {
        const tokenIds = list.flat()
        const processor = new OutputProcessor(used)
        const promptTokenIds = used.encode('Hi', { addSpecialTokens: false })
        processor.addRequest(request({ logprobs: 0, skipSpecialTokens }, { outputKind, promptTokenIds }))
        const outputs = tokenIds.flatMap((id, i) => {
          const logprobs = [{ chosen: { tokenId: id, logprob: -1, rank: 1 }, top: [] }]
          const isLast = i === tokenIds.length - 1
          return processor.process([update('r#0', id, { logprobs, finishReason: isLast ? 'length' : null })]).outputs
        })
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
      }),
    )
  })
})
