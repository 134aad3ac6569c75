import { ChatTemplateError } from '../errors.ts'
import type { ChatMessage, ToolDefinition } from '../tokenizer/chat-message.ts'
import type { ChatTemplate } from '../tokenizer/chat-template.ts'

/** Texts that no template writes, made of characters that none escapes. */
export const probe = {
  user: 'uqxprobe',
  content: 'cqxprobe',
  reasoning: 'rqxprobe',
  names: ['nqxprobe', 'mqxprobe'],
  keys: ['kqxprobe', 'jqxprobe'],
  values: ['vqxprobe', 'wqxprobe'],
} as const

/** Mistral's templates take ids of nine letters and digits only; others take what they get. */
export const probeIds = ['idqxprobe', 'ieqxprobe'] as const
export const longProbeIds = ['call_idqxprobe', 'call_ieqxprobe'] as const

export interface ProbeCall {
  readonly name: string
  readonly arguments: Readonly<Record<string, unknown>>
  readonly id: string
}

export interface ProbeTurn {
  readonly content?: string
  readonly reasoning?: string
  readonly calls?: readonly ProbeCall[]
}

/** A tool whose parameters have the probes' keys: templates that look their schema up find it. */
function toolOf(name: string): ToolDefinition {
  const properties = Object.fromEntries(probe.keys.map((key) => [key, { type: 'string', description: 'x' }]))
  const parameters = { type: 'object', properties, required: [...probe.keys] }
  return { type: 'function', function: { name, description: 'x', parameters } }
}

const tools = probe.names.map(toolOf)

/** Renders a short conversation; the same one is rendered once. */
export class TemplateProbe {
  readonly #template: ChatTemplate
  #error: string | null = null

  constructor(template: ChatTemplate) {
    this.#template = template
  }

  /** The template's own words for why it refused. */
  get error(): string | null {
    return this.#error
  }

  /** The prompt that a model answers. */
  prompt(extra: Readonly<Record<string, unknown>> = {}): string | null {
    return this.#render([{ role: 'user', content: probe.user }], { addGenerationPrompt: true, extra })
  }

  /** The conversation with the answer. */
  answer({ content = '', reasoning, calls }: ProbeTurn): string | null {
    const answer: ChatMessage = {
      role: 'assistant',
      content,
      ...(reasoning !== undefined && { reasoning }),
      ...(calls !== undefined && {
        tool_calls: calls.map(({ id, name, arguments: args }) => ({
          id,
          type: 'function' as const,
          function: { name, arguments: args },
        })),
      }),
    }
    return this.#render([{ role: 'user', content: probe.user }, answer], { addGenerationPrompt: false })
  }

  #render(
    messages: readonly ChatMessage[],
    options: { addGenerationPrompt: boolean; extra?: Readonly<Record<string, unknown>> },
  ): string | null {
    try {
      return this.#template.render({ messages, tools, ...options })
    } catch (error) {
      if (!(error instanceof ChatTemplateError)) throw error
      this.#error = error.message
      return null
    }
  }
}
