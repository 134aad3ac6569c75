import { InvalidRequestError } from '../errors.ts'
import type { ChatTemplate } from '../tokenizer/chat-template.ts'
import type { ChatTemplates } from '../tokenizer/chat-templates.ts'
import { isJsonObject } from '../util/json-object.ts'
import type { ChatPrompt } from './offered-tools.ts'

export interface RenderedChat {
  readonly text: string
  readonly template: ChatTemplate
}

/** @throws InvalidRequestError | ChatTemplateError */
export function renderChat(prompt: ChatPrompt, chatTemplates: ChatTemplates): RenderedChat {
  checkMessages(prompt.messages)
  if (prompt.messages.length === 0)
    throw new InvalidRequestError([{ field: 'messages' }, ' is empty: at least one message is needed.'], 'messages')
  const continueFinalMessage = prompt.continueFinalMessage ?? false
  const addGenerationPrompt = prompt.addGenerationPrompt ?? !continueFinalMessage
  if (continueFinalMessage && addGenerationPrompt) {
    throw new InvalidRequestError(
      [
        { field: 'continueFinalMessage' },
        ' and ',
        { field: 'addGenerationPrompt' },
        ' exclude each other; set one of them to false.',
      ],
      'continueFinalMessage',
    )
  }
  // A model cannot be kept from calling a tool that it was shown.
  const tools = prompt.toolChoice === 'none' ? null : (prompt.tools ?? null)
  const hasTools = tools !== null && tools.length > 0
  const template = chatTemplates.select(prompt.chatTemplate ?? null, hasTools)
  const text = template.render({
    messages: prompt.messages,
    tools,
    addGenerationPrompt,
    continueFinalMessage,
    extra: prompt.chatTemplateKwargs ?? {},
  })
  return { text, template }
}

/** What types promise, but JavaScript does not keep: a template would say something obscure, or nothing. */
function checkMessages(messages: unknown): void {
  if (!Array.isArray(messages)) {
    throw new InvalidRequestError(
      [{ field: 'messages' }, ` must be an array of messages, got ${typeof messages}.`],
      'messages',
    )
  }
  for (const [index, message] of (messages as unknown[]).entries()) {
    const isMessage = isJsonObject(message) && typeof message['role'] === 'string' && isContent(message['content'])
    if (!isMessage) {
      throw new InvalidRequestError(
        [
          { field: 'messages' },
          `[${index}] must be an object with a role and a content (a text, or parts with a text).`,
        ],
        'messages',
      )
    }
  }
}

function isContent(content: unknown): boolean {
  const isPart = (part: unknown): boolean =>
    typeof part === 'string' || (isJsonObject(part) && typeof part['text'] === 'string')
  return content == null || typeof content === 'string' || (Array.isArray(content) && content.every(isPart))
}
