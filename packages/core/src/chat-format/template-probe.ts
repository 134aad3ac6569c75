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
  number: 73_019,
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

/** Real templates take milliseconds; one rendering alone may take the interpreter's whole time. */
const maxMs = 5_000

/** Renders short conversations; the same one is rendered once. */
export class TemplateProbe {
  readonly #template: ChatTemplate
  readonly #rendered = new Map<string, string | null>()
  #error: string | null = null
  #spentMs = 0

  constructor(template: ChatTemplate) {
    this.#template = template
  }

  /** The template's own words for why it refused. */
  get error(): string | null {
    return this.#error
  }

  /** The prompt that a model answers. */
  prompt(): string | null {
    return this.#render([{ role: 'user', content: probe.user }], { addGenerationPrompt: true })
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

  #render(messages: readonly ChatMessage[], options: { readonly addGenerationPrompt: boolean }): string | null {
    const key = JSON.stringify([messages, options])
    const known = this.#rendered.get(key)
    if (known !== undefined) return known
    const rendered = this.#try(() => this.#template.render({ messages, tools, ...options }))
    this.#rendered.set(key, rendered)
    return rendered
  }

  #try(render: () => string): string | null {
    const startedAt = performance.now()
    if (this.#spentMs > maxMs) return null
    try {
      return render()
    } catch (error) {
      if (!(error instanceof ChatTemplateError)) throw error
      this.#error = error.message
      return null
    } finally {
      this.#spentMs += performance.now() - startedAt
    }
  }
}
