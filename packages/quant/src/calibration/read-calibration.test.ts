import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { embeddedModelPath, openCheckpoint } from '@octavo/core/loading'
import { parseModelConfig } from '@octavo/core/model'
import { QuantizationError } from '@octavo/core/quantization'
import { createTokenizer } from '@octavo/core/tokenizer'
import { beforeAll, describe, expect, it } from 'vitest'
import { temporaryFolder } from '../pipeline/saved-models.case.ts'
import type { CalibrationOptions } from './calibration-options.ts'
import { readCalibration } from './read-calibration.ts'
import type { CalibrationSet, ReadCalibrationContext } from './read-calibration.ts'

let context: ReadCalibrationContext

beforeAll(async () => {
  const checkpoint = await openCheckpoint(embeddedModelPath('octavo-tiny')!)
  context = {
    tokenizer: createTokenizer(checkpoint.readTokenizer()),
    config: parseModelConfig(checkpoint.config, checkpoint.path),
    seed: 3,
  }
})

const read = (data: CalibrationOptions['data'], options: Partial<CalibrationOptions> = {}): CalibrationSet =>
  readCalibration({ data, ...options }, context)

const sentences = Array.from(
  { length: 200 },
  (_, i) => `The red bird number ${i} sings in the garden of the old house.`,
)

function fileOf(name: string, text: string): string {
  const file = join(temporaryFolder(), name)
  writeFileSync(file, text)
  return file
}

describe('readCalibration', () => {
  it('encodes texts as prompts are encoded', () => {
    const { sequences, numTokens } = read(sentences.slice(0, 40))
    expect([...sequences[5]!.ids]).toEqual(context.tokenizer.encode(sentences[5]!))
    expect(sequences[5]!.mask).toBeNull()
    expect(numTokens).toBe(sequences.reduce((sum, { ids }) => sum + ids.length, 0))
  })

  it('takes JSON lines with text, prompt and messages, by the chat template', () => {
    const messages = [
      { role: 'user', content: 'Who sings?' },
      { role: 'assistant', content: 'The red bird sings in the garden.' },
    ]
    const lines = sentences.map((text, i) =>
      JSON.stringify([{ text }, { prompt: text, completion: ' Yes.' }, { messages }][i % 3]),
    )
    const { sequences } = read(fileOf('chats.jsonl', `${lines.join('\n')}\n\n`), { numSamples: 1000 })
    expect(sequences).toHaveLength(200)
    expect(context.tokenizer.decode([...sequences[1]!.ids])).toContain('house. Yes.')
    expect(context.tokenizer.decode([...sequences[2]!.ids])).toContain('Who sings?')
  })

  it('masks what is asked, and only where it is told to', () => {
    const messages = [
      { role: 'user', content: 'Who sings?' },
      { role: 'assistant', content: 'The red bird sings in the garden.' },
    ]
    const data = [...Array.from({ length: 40 }, () => ({ messages })), { prompt: 'The red', completion: ' bird' }]
    expect(read(data).sequences.every(({ mask }) => mask === null)).toBe(true)
    const { sequences } = read(data, { maskPrompts: true })
    for (const [index, answer] of [
      [0, 'The red bird sings in the garden.'],
      [40, ' bird'],
    ] as const) {
      const { ids, mask } = sequences[index]!
      const shown = [...ids].filter((_, i) => mask![i] === 1)
      expect(context.tokenizer.decode(shown, { skipSpecialTokens: true }).trim()).toBe(answer.trim())
    }
  })

  it('cuts plain text into pieces of one length', () => {
    const { sequences } = read(fileOf('book.txt', sentences.join(' ')), { maxSeqLength: 64 })
    const lengths = sequences.map(({ ids }) => ids.length)
    expect(new Set(lengths.slice(0, -1))).toEqual(new Set([64]))
    expect(lengths.at(-1)).toBeGreaterThanOrEqual(16)
  })

  it('cuts long samples, to the model’s own context at most', () => {
    const { sequences } = read([sentences.join(' '), sentences.join(' ')], { maxSeqLength: 1_000_000 })
    expect(sequences[0]!.ids.length).toBe(context.config.maxPositionEmbeddings)
    expect(read(sentences, { maxSeqLength: 8 }).sequences.every(({ ids }) => ids.length === 8)).toBe(true)
  })

  it('chooses by the seed, in the order of the file', () => {
    const choose = (seed: number): number[] =>
      readCalibration({ data: sentences, numSamples: 30 }, { ...context, seed }).sequences.map(({ ids }) =>
        sentences.findIndex((text) => context.tokenizer.encode(text).join() === [...ids].join()),
      )
    const chosen = choose(1)
    expect(chosen).toHaveLength(30)
    expect(chosen).toEqual(chosen.toSorted((a, b) => a - b))
    expect(choose(1)).toEqual(chosen)
    expect(choose(2)).not.toEqual(chosen)
  })

  it('has one fingerprint for one set', () => {
    const fingerprint = (data: CalibrationOptions['data'], options?: Partial<CalibrationOptions>): string =>
      read(data, options).fingerprint
    expect(fingerprint(sentences)).toBe(fingerprint(sentences))
    expect(fingerprint(sentences)).not.toBe(fingerprint(sentences.toReversed()))
    expect(fingerprint(sentences)).not.toBe(fingerprint(sentences, { maxSeqLength: 9 }))
  })
})

describe('calibration texts that are of no use', () => {
  it.each([
    ['too few', () => ['Only a few words.'], /the calibration texts: \d+ tokens that count are too few; at least 256/],
    ['none', () => [], /0 tokens that count are too few/],
    ['a file that is not there', () => '/nowhere/texts.jsonl', /\/nowhere\/texts\.jsonl does not exist/],
    ['a folder', () => temporaryFolder(), /is no file/],
    ['no JSON', () => fileOf('a.jsonl', '{"text": "a"}\nhello\n'), /a\.jsonl:2: the line is no JSON/],
    [
      'another shape',
      () => fileOf('a.jsonl', '\n{"content": "a"}\n'),
      /a\.jsonl:2: is no calibration text; .*"messages"/,
    ],
    ['bytes', () => fileOf('a.txt', 'x').replace('a.txt', 'b.txt'), /does not exist/],
    [
      'a language of other letters',
      () => Array(60).fill('ქართული ენა არის ძველი ენა და ლამაზი'),
      /Give texts of the kind that the model is for/,
    ],
  ])('are refused: %s', (_, data, message) => {
    expect(() => read(data())).toThrow(message)
    expect(() => read(data())).toThrow(QuantizationError)
  })

  it('are refused where they are not UTF-8', () => {
    const folder = temporaryFolder()
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'latin.txt'), Buffer.from([0x61, 0xe9, 0x20]))
    expect(() => read(join(folder, 'latin.txt'))).toThrow(/latin\.txt is not UTF-8/)
  })

  it('are refused where the tokenizer belongs to a larger vocabulary', () => {
    const config = { ...context.config, vocabSize: 40 }
    expect(() => readCalibration({ data: sentences }, { ...context, config })).toThrow(
      /the tokenizer makes token \d+, and the model has embeddings for 0 to 39/,
    )
  })

  it('are refused where the template leaves a question out', () => {
    const data = [{ messages: [{ role: 'narrator', content: 'Once' }] }]
    expect(() => read(data)).toThrow(/calibration\[0\]: /)
  })

  it('are refused by the option’s name where a number is out of range', () => {
    expect(() => read(sentences, { maxSeqLength: 2 })).toThrow(/maxSeqLength: must be an integer from 8/)
  })
})
