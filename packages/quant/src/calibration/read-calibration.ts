import { createHash } from 'node:crypto'
import { OctavoError, resolveOptions } from '@octavo/core'
import type { ModelConfig } from '@octavo/core/model'
import { QuantizationError } from '@octavo/core/quantization'
import { createChatTemplate } from '@octavo/core/tokenizer'
import type { ChatTemplate, Tokenizer } from '@octavo/core/tokenizer'
import type { CalibrationSequence } from './calibration-batch.ts'
import { calibrationOptionTable } from './calibration-options.ts'
import type { CalibrationOptions, CalibrationSample } from './calibration-options.ts'
import { checkTokens } from './check-tokens.ts'
import { choosePlaces, openSamples } from './read-samples.ts'

export interface CalibrationSet {
  readonly sequences: readonly CalibrationSequence[]
  readonly numTokens: number
  /** Of ids and masks. */
  readonly fingerprint: string
}

export interface ReadCalibrationContext {
  readonly tokenizer: Tokenizer
  readonly config: ModelConfig
  readonly seed: number
}

/**
 * Texts → token ids by the model's own tokenizer and chat template.
 *
 * @throws QuantizationError for texts that are too short, that the tokenizer hardly knows, or whose ids the model does not have
 */
export function readCalibration(options: CalibrationOptions, context: ReadCalibrationContext): CalibrationSet {
  const { data, ...given } = options
  const { numSamples, maxSeqLength, maskPrompts } = resolveOptions(calibrationOptionTable, given)
  const { tokenizer, config, seed } = context
  const maxLength = Math.min(maxSeqLength, config.maxPositionEmbeddings)
  const source = openSamples(data)
  const name = typeof data === 'string' ? data : 'the calibration texts'
  let sequences: CalibrationSequence[]
  let text = ''
  if (source.kind === 'stream') {
    const pieces = failing(name, () => cutStream(tokenizer, source.text, maxLength))
    sequences = choosePlaces(pieces.length, numSamples, seed).map((i) => pieces[i]!)
    text = source.text
  } else {
    const encoder = new SampleEncoder(tokenizer, { maxLength, maskPrompts })
    sequences = choosePlaces(source.count, numSamples, seed)
      .map((i) => encoder.encode(source.sample(i), source.place(i)))
      .filter(({ ids }) => ids.length > 0)
    text = encoder.texts.join('')
  }
  checkTokens(sequences, { name, text, tokenizer, config })
  return {
    sequences,
    numTokens: sequences.reduce((sum, { ids }) => sum + ids.length, 0),
    fingerprint: fingerprintOf(sequences),
  }
}

/** Pieces of one long text, each with the beginning that the tokenizer gives every text. */
function cutStream(tokenizer: Tokenizer, text: string, maxLength: number): CalibrationSequence[] {
  const ids = tokenizer.encode(text, { addSpecialTokens: false })
  const bos = tokenizer.bosToken === null ? null : tokenizer.tokenToId(tokenizer.bosToken)
  const start = bos !== null && tokenizer.encode('')[0] === bos ? [bos] : []
  const step = maxLength - start.length
  const pieces: CalibrationSequence[] = []
  for (let from = 0; from < ids.length; from += step) {
    // What is left at the end would count as much as a whole piece.
    if (from > 0 && ids.length - from < step / 4) break
    pieces.push({ ids: Int32Array.from([...start, ...ids.slice(from, from + step)]), mask: null })
  }
  return pieces
}

class SampleEncoder {
  /** What was encoded. */
  readonly texts: string[] = []
  readonly #tokenizer: Tokenizer
  readonly #maxLength: number
  readonly #maskPrompts: boolean
  readonly #template: ChatTemplate | null

  constructor(tokenizer: Tokenizer, { maxLength, maskPrompts }: { maxLength: number; maskPrompts: boolean }) {
    this.#tokenizer = tokenizer
    this.#maxLength = maxLength
    this.#maskPrompts = maskPrompts
    this.#template = tokenizer.chatTemplate === null ? null : createChatTemplate(tokenizer.chatTemplate, tokenizer)
  }

  encode(sample: CalibrationSample, place: string): CalibrationSequence {
    const { text, promptText, addSpecialTokens } = this.#textOf(sample, place)
    const options = { addSpecialTokens }
    const ids = failing(place, () => this.#tokenizer.encode(text, options)).slice(0, this.#maxLength)
    this.texts.push(text)
    if (!this.#maskPrompts || promptText === null) return { ids: Int32Array.from(ids), mask: null }
    const numPrompt = failing(place, () => this.#tokenizer.encode(promptText, options)).length
    return { ids: Int32Array.from(ids), mask: Uint8Array.from(ids, (_, i) => (i < numPrompt ? 0 : 1)) }
  }

  /** `promptText`: what of it is the question; `null` where there is none. */
  #textOf(
    sample: CalibrationSample,
    place: string,
  ): { text: string; promptText: string | null; addSpecialTokens: boolean } {
    if (typeof sample === 'string') return { text: sample, promptText: null, addSpecialTokens: true }
    if ('messages' in sample) return { ...this.#conversation(sample, place), addSpecialTokens: false }
    if ('prompt' in sample) {
      const { prompt, completion = '' } = sample
      return { text: prompt + completion, promptText: prompt, addSpecialTokens: true }
    }
    return { text: sample.text, promptText: null, addSpecialTokens: true }
  }

  #conversation(
    { messages, tools }: Extract<CalibrationSample, { messages: unknown }>,
    place: string,
  ): { text: string; promptText: string | null } {
    const template = this.#template
    if (template === null)
      throw new QuantizationError(
        `${place}: has "messages", and the model has no chat template; give calibration texts as "text"`,
      )
    const given = { ...(tools && { tools }) }
    const text = failing(place, () => template.render({ messages, ...given, addGenerationPrompt: false }))
    if (text.trim() === '')
      throw new QuantizationError(
        `${place}: the model's chat template makes nothing of these messages; use roles that it knows`,
      )
    if (!this.#maskPrompts || messages.at(-1)?.role !== 'assistant') return { text, promptText: text }
    const asked = { messages: messages.slice(0, -1), ...given, addGenerationPrompt: true }
    const promptText = failing(place, () => template.render(asked))
    if (!text.startsWith(promptText))
      throw new QuantizationError(
        `${place}: the model's chat template writes the question otherwise once it is answered, so that it can't be masked; leave out maskPrompts`,
      )
    return { text, promptText }
  }
}

function failing<T>(place: string, make: () => T): T {
  try {
    return make()
  } catch (error) {
    const remedy =
      OctavoError.isInstance(error) && error.code === 'tokenizer_error' ? ' Cut it into shorter texts.' : ''
    const reason = error instanceof Error ? error.message : String(error)
    throw new QuantizationError(`${place}: ${reason}${remedy}`, { cause: error })
  }
}

function fingerprintOf(sequences: readonly CalibrationSequence[]): string {
  const hash = createHash('sha256')
  for (const { ids, mask } of sequences) {
    hash.update(`${ids.length},${mask === null ? 'all' : 'some'};`)
    hash.update(ids)
    if (mask !== null) hash.update(mask)
  }
  return hash.digest('hex')
}
