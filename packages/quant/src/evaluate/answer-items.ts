import { randomUUID } from 'node:crypto'
import { InvalidConfigError, type LLM, OctavoError, type PromptInput } from '@octavo/core'
import type { TaskItem } from './task-set.ts'

/** What a model said to an item. */
export interface Answer {
  readonly text: string
  readonly promptTokenIds: readonly number[]
  readonly tokenIds: readonly number[]
}

export interface AnswerOptions {
  /** Of an answer, at most. */
  readonly maxAnswerTokens: number
  readonly onProgress?: (numDone: number, numItems: number) => void
}

/** So many at once, of which the engine makes its batches. */
const maxConcurrent = 256

/** Greedy, through the model's chat template where it has one. */
export async function answerItems(
  llm: LLM,
  items: readonly TaskItem[],
  { maxAnswerTokens, onProgress }: AnswerOptions,
): Promise<Answer[]> {
  const hasTemplate = llm.engine.models.some(({ hasChatTemplate }) => hasChatTemplate)
  const answers: Answer[] = []
  let numDone = 0
  for (let start = 0; start < items.length; start += maxConcurrent) {
    const part = items.slice(start, start + maxConcurrent).map(async (item, i) => {
      const prompt = promptOf(item, hasTemplate)
      const answer = await answerItem(llm, prompt, maxAnswerTokens).catch((error: unknown) => refuse(error, start + i))
      onProgress?.(++numDone, items.length)
      return answer
    })
    answers.push(...(await Promise.all(part)))
  }
  return answers
}

const codesOfItems: ReadonlySet<string> = new Set([
  'invalid_request',
  'context_length_exceeded',
  'chat_template_error',
  'tokenizer_error',
])

/** Of what is wrong with an item itself, says which it is. */
function refuse(error: unknown, index: number): never {
  if (OctavoError.isInstance(error) && codesOfItems.has(error.code))
    throw new InvalidConfigError('data', `item ${index + 1} of all: ${error.message}`, { cause: error })
  throw error
}

async function answerItem(llm: LLM, prompt: PromptInput, maxTokens: number): Promise<Answer> {
  const params = { temperature: 0, maxTokens }
  for await (const output of llm.engine.generate({
    requestId: randomUUID(),
    prompt,
    params,
    outputKind: 'final',
  })) {
    const [completion] = output.outputs
    if (completion !== undefined)
      return { text: completion.text, promptTokenIds: output.promptTokenIds, tokenIds: completion.tokenIds }
  }
  return { text: '', promptTokenIds: [], tokenIds: [] }
}

/** @throws InvalidConfigError where a conversation would need a template */
function promptOf({ messages, tools }: TaskItem, hasTemplate: boolean): PromptInput {
  if (hasTemplate) return { type: 'chat', messages, ...(tools && { tools }) }
  const [only, ...others] = messages
  if (others.length === 0 && tools === undefined && typeof only?.content === 'string')
    return { type: 'text', text: only.content }
  throw new InvalidConfigError(
    'data',
    'the model has no chat template, so its items can be one text each, without tools and further messages',
  )
}
