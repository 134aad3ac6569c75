import { parse, type SyntaxNode, tokenize } from '@huggingface/jinja'
import { ChatTemplateError, OctavoError } from '../errors.ts'
import { messageOf } from '../util/message-of.ts'
import type { ChatMessage, ToolDefinition } from './chat-message.ts'
import { RaisedException, runTemplate } from './template-interpreter.ts'

export interface ChatTemplateInput {
  readonly messages: readonly ChatMessage[]
  readonly tools?: readonly ToolDefinition[] | null
  /** End with the beginning of an assistant turn. */
  readonly addGenerationPrompt: boolean
  /** Leave the last message open, so that the model goes on with it. Default false. */
  readonly continueFinalMessage?: boolean
  /** Further variables of the template, such as `enable_thinking`. */
  readonly extra?: Readonly<Record<string, unknown>>
}

export interface ChatTemplate {
  /** @throws ChatTemplateError with the template's own words where it refuses the messages (`raise_exception`) */
  render(input: ChatTemplateInput): string
}

/** Special tokens that templates write. */
export interface TemplateTokens {
  readonly bosToken: string | null
  readonly eosToken: string | null
  readonly padToken: string | null
  readonly unkToken: string | null
}

const maxTemplateLength = 2 ** 20

/** Variables that a request may not replace. */
const reserved: ReadonlySet<string> = new Set([
  'messages',
  'tools',
  'add_generation_prompt',
  'raise_exception',
  'range',
  'true',
  'false',
  'none',
  'True',
  'False',
  'None',
  'namespace',
])

/**
 * A chat template in Jinja, over `@huggingface/jinja`, with the environment that transformers gives it
 * (`trim_blocks`, `lstrip_blocks`, `raise_exception`, `strftime_now`).
 * @throws ChatTemplateError where it does not parse
 */
export function createChatTemplate(source: string, tokens: TemplateTokens): ChatTemplate {
  const program = parseTemplate(source)
  const takesParts = iteratesContent(source)
  const tokenVariables = {
    bos_token: tokens.bosToken ?? '',
    eos_token: tokens.eosToken ?? '',
    pad_token: tokens.padToken ?? '',
    unk_token: tokens.unkToken ?? '',
  }
  return {
    render({ messages, tools = null, addGenerationPrompt, continueFinalMessage = false, extra = {} }) {
      for (const name of Object.keys(extra)) {
        if (reserved.has(name))
          throw new ChatTemplateError(`The template variable "${name}" cannot be set by chat_template_kwargs.`)
      }
      const dicts = messages.map((message) => toTemplateMessage(message, takesParts))
      const text = run(program, {
        ...tokenVariables,
        ...extra,
        messages: dicts,
        tools,
        add_generation_prompt: addGenerationPrompt,
      })
      return continueFinalMessage ? cutAfterFinalMessage(text, dicts.at(-1)) : text
    },
  }
}

function parseTemplate(source: string): SyntaxNode {
  if (source.length > maxTemplateLength)
    throw new ChatTemplateError(
      `The chat template has ${source.length} characters; at most ${maxTemplateLength} are allowed.`,
    )
  try {
    return parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }))
  } catch (error) {
    throw new ChatTemplateError(`The chat template is not valid Jinja: ${messageOf(error)}`, { cause: error })
  }
}

function run(program: SyntaxNode, variables: Readonly<Record<string, unknown>>): string {
  try {
    return runTemplate(program, variables)
  } catch (error) {
    if (OctavoError.isInstance(error)) throw error
    if (error instanceof RaisedException) throw new ChatTemplateError(error.message, { cause: error })
    throw new ChatTemplateError(`The chat template failed: ${messageOf(error)}`, { cause: error })
  }
}

/** Whether the template loops over a message's content, as those of multimodal models do, instead of writing it as text. */
function iteratesContent(source: string): boolean {
  return /\bin\s+\w+(?:\.content|\[\s*['"]content['"]\s*\])/.test(source)
}

/** As transformers and vLLM hand messages over: parts joined to text unless the template takes parts, arguments as objects. */
function toTemplateMessage(message: ChatMessage, takesParts: boolean): Record<string, unknown> {
  const { content, reasoning, tool_calls: toolCalls, ...rest } = message
  const isParts = typeof content !== 'string' && content !== null && content !== undefined
  return {
    ...rest,
    content: isParts && !takesParts ? content.map((part) => part.text).join('\n') : content,
    // Templates know the text of reasoning by either name.
    ...(reasoning !== undefined && { reasoning, reasoning_content: reasoning }),
    ...(toolCalls !== undefined && {
      tool_calls: toolCalls.map((call) => ({
        ...call,
        function: { ...call.function, arguments: parseArguments(call.function.arguments) },
      })),
    }),
  }
}

/** OpenAI's clients send arguments as a JSON string, templates write them with `tojson`. */
function parseArguments(value: unknown): unknown {
  if (typeof value !== 'string') return value
  try {
    const parsed: unknown = JSON.parse(value)
    return typeof parsed === 'object' && parsed !== null ? parsed : value
  } catch {
    return value
  }
}

/** Everything after the last message's text belongs to the end of the turn, which shall not come yet. */
function cutAfterFinalMessage(text: string, message: Record<string, unknown> | undefined): string {
  const content = typeof message?.['content'] === 'string' ? message['content'] : ''
  const start = text.lastIndexOf(content.trim())
  if (content.trim() === '' || start === -1) {
    throw new ChatTemplateError([
      { field: 'continueFinalMessage' },
      ' needs a last message with text that the chat template writes unchanged.',
    ])
  }
  // Templates that trim the content lose its trailing spaces.
  const whole = content.trimStart()
  return text.slice(0, start + (text.startsWith(whole, start) ? whole.length : content.trim().length))
}
