import { InvalidRequestError } from '../errors.ts'
import { type ChatTemplate, createChatTemplate, type TemplateTokens } from './chat-template.ts'

export interface ChatTemplatesOptions {
  /** What `--chat-template` gave: the name of one of the model's templates, or a template. */
  readonly override: string | null
  /** The model's own. */
  readonly defaultTemplate: string | null
  readonly named: ReadonlyMap<string, string>
  readonly tokens: TemplateTokens
}

/** Templates of requests that are kept parsed. */
const maxKept = 16

/** A model's chat templates by name, and those that requests bring. */
export class ChatTemplates {
  readonly #options: ChatTemplatesOptions
  readonly #kept = new Map<string, ChatTemplate>()

  constructor(options: ChatTemplatesOptions) {
    this.#options = options
    if (options.override !== null) this.#compiled(this.#sourceOf(options.override)).compile()
  }

  get isEmpty(): boolean {
    const { override, defaultTemplate, named } = this.#options
    return override === null && defaultTemplate === null && named.size === 0
  }

  /** That of requests which name none, with tools or without; `null` where there is none. */
  default(hasTools: boolean): ChatTemplate | null {
    const { override, defaultTemplate, named } = this.#options
    if (override !== null) return this.#compiled(this.#sourceOf(override))
    const source = (hasTools ? named.get('tool_use') : undefined) ?? defaultTemplate
    return source === null ? null : this.#compiled(source)
  }

  /**
   * The template of a request: the one it names or brings, else the operator's, else with tools the model's `tool_use`,
   * else the model's default.
   */
  select(requested: string | null, hasTools: boolean): ChatTemplate {
    const { named } = this.#options
    const template = requested === null ? this.default(hasTools) : this.#compiled(this.#sourceOf(requested))
    if (template !== null) return template
    throw new InvalidRequestError(
      [
        named.size === 0
          ? 'This model has no chat template; pass one ('
          : `This model has no default chat template; choose one of ${[...named.keys()].join(', ')} (`,
        { field: 'chatTemplate' },
        ', or --chat-template at the start), or use completions.',
      ],
      'messages',
    )
  }

  #sourceOf(given: string): string {
    return this.#options.named.get(given) ?? given
  }

  #compiled(source: string): ChatTemplate {
    const template = this.#kept.get(source) ?? createChatTemplate(source, this.#options.tokens)
    // The last used stands last; the first in the order goes first.
    this.#kept.delete(source)
    this.#kept.set(source, template)
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > maxKept && oldest !== undefined) this.#kept.delete(oldest)
    return template
  }
}
