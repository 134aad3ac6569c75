import { InvalidRequestError } from '../errors.ts'
import type { ChatTemplates } from '../tokenizer/chat-templates.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { TurnQueue } from '../util/turn-queue.ts'
import { encodeText } from './encode-prompt.ts'
import type { PromptInput, TokenizedPrompt, TokenizeRequest } from './engine-client.ts'
import type { PromptEncoder } from './prompt-encoder.ts'
import { renderChat } from './render-chat.ts'

export interface TokenizePromptOptions {
  readonly tokenizer: Tokenizer
  readonly promptEncoder: PromptEncoder
  readonly chatTemplates: ChatTemplates
  readonly turns: TurnQueue
  readonly maxModelLen: number
  readonly signal?: AbortSignal | undefined
}

/** Of characters: what is so much longer than the context is not worth the time. */
const charsPerPosition = 32
const minLongestText = 1_048_576

/** Token ids as a prompt would have them, with those that no model has a row for, and beyond its context. */
export async function tokenizePrompt(
  { prompt, returnTokens = false }: TokenizeRequest,
  options: TokenizePromptOptions,
): Promise<TokenizedPrompt> {
  const { tokenizer, turns, signal } = options
  const { text, tokenIds } = await turns.run(() => encode(prompt, options), { signal })
  const tokens = returnTokens ? tokenIds.map((id) => tokenizer.idToToken(id) ?? '') : null
  return { prompt: text, tokenIds, tokens }
}

/** Some milliseconds of work. */
const tokensAtOnce = 1024

/** The text of token ids, special tokens kept. */
export async function detokenizeInTurns(
  tokenIds: readonly number[],
  tokenizer: Tokenizer,
  turns: TurnQueue,
): Promise<string> {
  const stream = tokenizer.createDecodeStream()
  const texts: string[] = []
  for (let start = 0; start < tokenIds.length; start += tokensAtOnce) {
    const push = (): void => {
      for (const id of tokenIds.slice(start, start + tokensAtOnce)) texts.push(stream.push(id))
    }
    await turns.run(push, { caller: stream })
  }
  texts.push(stream.flush())
  return texts.join('')
}

async function encode(
  prompt: PromptInput,
  { promptEncoder, chatTemplates, maxModelLen, signal }: TokenizePromptOptions,
): Promise<{ text: string | null; tokenIds: readonly number[] }> {
  if (prompt.type === 'tokens') return { text: null, tokenIds: prompt.tokenIds }
  const isText = prompt.type === 'text'
  const text = isText ? prompt.text : renderChat(prompt, chatTemplates).text
  const maxLength = Math.max(minLongestText, charsPerPosition * maxModelLen)
  if (text.length > maxLength) {
    throw new InvalidRequestError(
      `The prompt has ${text.length} characters, and no more than ${maxLength} are tokenized at once; send it in parts.`,
      'prompt',
    )
  }
  const addSpecialTokens = prompt.addSpecialTokens ?? isText
  const encodeOptions = { addSpecialTokens, ...(signal && { signal }) }
  return { text, tokenIds: await encodeText(async () => promptEncoder.encode(text, encodeOptions)) }
}

/** @throws InvalidRequestError for an id that no token of the model has */
export function checkTokenIds(tokenIds: readonly number[], vocabSize: number): void {
  const wrong = tokenIds.find((id) => id >= vocabSize)
  if (wrong === undefined) return
  throw new InvalidRequestError(
    `There is no token ${wrong}: this model's ids run from 0 to ${vocabSize - 1}. Leave it out.`,
    'prompt',
  )
}
