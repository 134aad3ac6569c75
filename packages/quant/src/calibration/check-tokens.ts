import type { ModelConfig } from '@octavo/core/model'
import { QuantizationError } from '@octavo/core/quantization'
import type { Tokenizer } from '@octavo/core/tokenizer'
import type { CalibrationSequence } from './calibration-batch.ts'

/** Fewer say nothing about what a layer is given. */
export const minCalibrationTokens = 256
/** Tokens that stand for nothing in particular: the unknown one, and single bytes of what the vocabulary lacks. */
const maxUnknownShare = 0.3
/** Even alphabets that a vocabulary hardly has take fewer tokens for a character, byte by byte, than this. */
const maxTokensPerCharacter = 1.5

export interface CheckTokensContext {
  /** Of the texts, for messages. */
  readonly name: string
  readonly text: string
  readonly tokenizer: Tokenizer
  readonly config: ModelConfig
}

/** @throws QuantizationError naming the value, the limit and the remedy */
export function checkTokens(sequences: readonly CalibrationSequence[], context: CheckTokensContext): void {
  const { name, text, tokenizer, config } = context
  const shown = sequences.reduce((sum, { ids, mask }) => sum + (mask?.reduce((a, b) => a + b, 0) ?? ids.length), 0)
  if (shown < minCalibrationTokens)
    throw new QuantizationError(
      `${name}: ${shown} tokens that count are too few; at least ${minCalibrationTokens} are needed, and some 100 texts of 500 tokens are usual. Give more or longer texts`,
    )
  let numTokens = 0
  let numUnknown = 0
  const isUnknown = unknownTokens(tokenizer)
  for (const { ids } of sequences) {
    for (const id of ids) {
      if (id < 0 || id >= config.vocabSize)
        throw new QuantizationError(
          `${name}: the tokenizer makes token ${id}, and the model has embeddings for 0 to ${config.vocabSize - 1}; the tokenizer belongs to another model`,
        )
      if (isUnknown(id)) numUnknown++
    }
    numTokens += ids.length
  }
  const remedy = 'Give texts of the kind that the model is for'
  const percent = (share: number): string => `${Math.round(share * 100)} %`
  if (numUnknown > numTokens * maxUnknownShare)
    throw new QuantizationError(
      `${name}: ${percent(numUnknown / numTokens)} of the tokens are unknown or single bytes; at most ${percent(maxUnknownShare)} may be. ${remedy}`,
    )
  // Of what was cut off there are characters and no tokens, which only makes it fewer.
  if (numTokens > text.length * maxTokensPerCharacter)
    throw new QuantizationError(
      `${name}: ${(numTokens / text.length).toFixed(1)} tokens for a character; at most ${maxTokensPerCharacter} are usual in a language that the tokenizer knows. ${remedy}`,
    )
}

function unknownTokens(tokenizer: Tokenizer): (id: number) => boolean {
  const unknown = tokenizer.unkToken === null ? null : tokenizer.tokenToId(tokenizer.unkToken)
  const known = new Map<number, boolean>()
  return (id) => {
    const cached = known.get(id)
    if (cached !== undefined) return cached
    const isUnknown = id === unknown || /^<0x[0-9A-F]{2}>$/.test(tokenizer.idToToken(id) ?? '')
    known.set(id, isUnknown)
    return isUnknown
  }
}
