import type { PromptInput } from '@octavo/core'
import type { PoolingInput, Prompt } from '@octavo/sdk/protocol'
import type { JsonSource } from '../json-source.ts'
import { chatPrompt } from '../openai/chat-prompt.ts'

/** A body's inputs as the engine takes them: several, or one conversation. */
export function poolingPrompts({ input, messages, ...fields }: PoolingInput, source?: JsonSource): PromptInput[] {
  if (input != null) return textPrompts(input, fields.add_special_tokens ?? true)
  const addGenerationPrompt = fields.add_generation_prompt ?? false
  const prompt = chatPrompt({ ...fields, messages: messages!, add_generation_prompt: addGenerationPrompt }, source)
  return [{ ...prompt, parseOutput: false }]
}

function textPrompts(input: Prompt, addSpecialTokens: boolean): PromptInput[] {
  if (typeof input === 'string') return [{ type: 'text', text: input, addSpecialTokens }]
  if (typeof input[0] === 'number') return [{ type: 'tokens', tokenIds: input as number[] }]
  return (input as readonly (string | number[])[]).map((one) =>
    typeof one === 'string' ? { type: 'text', text: one, addSpecialTokens } : { type: 'tokens', tokenIds: one },
  )
}
