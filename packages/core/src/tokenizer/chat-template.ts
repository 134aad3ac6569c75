import { ChatTemplateError } from '../errors.ts'
import type { ChatMessage, ToolDefinition } from './chat-message.ts'
import { completeTools } from './complete-tools.ts'
import { type ContentFormat, detectContentFormat } from './content-format.ts'
import { cutAtMark, markFinalMessage } from './final-message.ts'
import type { Template } from './jinja/ast.ts'
import { renderTemplate } from './jinja/interpreter.ts'
import { JinjaError, RaisedException } from './jinja/jinja-error.ts'
import { parseJson } from './jinja/parse-json.ts'
import { parseTemplate } from './jinja/parser.ts'
import { toValue } from './jinja/to-value.ts'
import type { Dict, Value } from './jinja/values.ts'
import { findLeftOutMessage } from './left-out-messages.ts'
import { toTemplateMessages, withTextArguments } from './template-messages.ts'

export interface ChatTemplateInput {
  readonly messages: readonly ChatMessage[]
  /** As JSON text numbers and keys keep the form and order they were written in. */
  readonly tools?: readonly ToolDefinition[] | string | null
  /** End with the beginning of an assistant turn. */
  readonly addGenerationPrompt: boolean
  /** Leave the last message open, so that the model goes on with it. Default false. */
  readonly continueFinalMessage?: boolean
  /** Further variables of the template, such as `enable_thinking`. */
  readonly extra?: Readonly<Record<string, unknown>>
}

export interface ChatTemplate {
  readonly source: string
  /** @throws ChatTemplateError where the template is not valid Jinja, which `render` says too */
  compile(): void
  /**
   * @throws ChatTemplateError with the template's own words where it refuses the messages (`raise_exception`), with the
   * line where it fails, and with the role of a message that it leaves out
   */
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
 * A chat template in Jinja, with the environment that transformers gives it (`trim_blocks`, `lstrip_blocks`, loop
 * controls, `raise_exception`, `strftime_now`). It is parsed when it is first used: a model whose template is broken can
 * still complete texts.
 */
export function createChatTemplate(source: string, tokens: TemplateTokens): ChatTemplate {
  const template = new JinjaChatTemplate(source, tokens)
  return { source, compile: () => void template.program, render: (input) => template.render(input) }
}

interface Program {
  readonly body: Template
  readonly format: ContentFormat
}

class JinjaChatTemplate {
  readonly #source: string
  readonly #tokens: ReadonlyMap<string, Value>
  #compiled: Program | ChatTemplateError | null = null
  /** The template adds arguments of calls to texts, which fails with objects (DeepSeek's do so). */
  #takesTextArguments = false

  constructor(source: string, { bosToken, eosToken, padToken, unkToken }: TemplateTokens) {
    this.#source = source
    this.#tokens = new Map([
      ['bos_token', bosToken ?? ''],
      ['eos_token', eosToken ?? ''],
      ['pad_token', padToken ?? ''],
      ['unk_token', unkToken ?? ''],
    ])
  }

  get program(): Program {
    this.#compiled ??= compile(this.#source)
    if (this.#compiled instanceof ChatTemplateError) throw this.#compiled
    return this.#compiled
  }

  render(input: ChatTemplateInput): string {
    const { format } = this.program
    const variables = this.#variables(input)
    const messages = failing(() => toTemplateMessages(input.messages, format))
    const run = (dicts: readonly Dict[]): string => this.#runWithTools(variables, dicts)
    if (input.continueFinalMessage === true) {
      const hasContent = input.messages.at(-1)?.content != null
      return renderOpen(hasContent ? messages : [], run)
    }
    const rendered = run(messages)
    const tryRender = (dicts: readonly Dict[]): string | null => {
      try {
        return run(dicts)
      } catch (error) {
        if (error instanceof ChatTemplateError) return null
        throw error
      }
    }
    const leftOut = findLeftOutMessage(messages, { format, rendered, tryRender })
    if (leftOut !== -1) {
      const { role } = input.messages[leftOut]!
      throw new ChatTemplateError([
        { field: 'messages' },
        `[${leftOut}]: the model's chat template leaves out this message of the role ${JSON.stringify(role)}; use a role that it knows.`,
      ])
    }
    return rendered
  }

  #variables({ tools = null, addGenerationPrompt, extra = {} }: ChatTemplateInput): Map<string, Value> {
    const variables = new Map(this.#tokens)
    variables.set('documents', null)
    for (const [name, value] of Object.entries(extra)) {
      if (reserved.has(name))
        throw new ChatTemplateError(`The template variable "${name}" cannot be set by chat_template_kwargs.`)
      if (value !== undefined)
        variables.set(
          name,
          failing(() => toValue(value)),
        )
    }
    variables.set(
      'tools',
      failing(() => (typeof tools === 'string' ? parseJson(tools) : toValue(tools))),
    )
    variables.set('add_generation_prompt', addGenerationPrompt)
    return variables
  }

  /** Some templates fail with tools that lack what all of those have that they were written for (gpt-oss's, Hermes's). */
  #runWithTools(variables: ReadonlyMap<string, Value>, messages: readonly Dict[]): string {
    try {
      return this.#runWithCalls(variables, messages)
    } catch (error) {
      const isFailure = error instanceof ChatTemplateError && error.cause instanceof JinjaError
      const tools = isFailure ? completeTools(variables.get('tools')) : null
      if (tools === null) throw error
      try {
        return this.#runWithCalls(new Map([...variables, ['tools', tools]]), messages)
      } catch {
        throw error
      }
    }
  }

  #runWithCalls(variables: ReadonlyMap<string, Value>, messages: readonly Dict[]): string {
    const run = (dicts: readonly Dict[]): string => this.#run(new Map([...variables, ['messages', [...dicts]]]))
    const hasCalls = messages.some((message) => Array.isArray(message.getText('tool_calls')))
    if (!hasCalls) return run(messages)
    if (this.#takesTextArguments) return run(failing(() => withTextArguments(messages)))
    try {
      return run(messages)
    } catch (error) {
      if (!(error instanceof ChatTemplateError) || !(error.cause instanceof JinjaError)) throw error
      try {
        const rendered = run(withTextArguments(messages))
        this.#takesTextArguments = true
        return rendered
      } catch {
        throw error
      }
    }
  }

  #run(variables: ReadonlyMap<string, Value>): string {
    return failing(() => renderTemplate(this.program.body, variables))
  }
}

/** The prompt up to the end of the last message's text. */
function renderOpen(messages: readonly Dict[], run: (messages: readonly Dict[]) => string): string {
  const marked = markFinalMessage(messages, `OCTAVO${Math.random().toString(36).slice(2)}END`)
  const prompt = marked === null ? null : cutAtMark(run(marked.messages), marked)
  if (prompt !== null) return prompt
  throw new ChatTemplateError([
    { field: 'continueFinalMessage' },
    ' needs a last message with a text that the chat template writes.',
  ])
}

function compile(source: string): Program | ChatTemplateError {
  if (source.length > maxTemplateLength) {
    return new ChatTemplateError(
      `The chat template has ${source.length} characters; at most ${maxTemplateLength} are allowed.`,
    )
  }
  try {
    const body = parseTemplate(source)
    return { body, format: detectContentFormat(body) }
  } catch (error) {
    if (error instanceof JinjaError || error instanceof RangeError)
      return new ChatTemplateError(`The chat template is not valid Jinja${lineOf(error)}: ${error.message}.`, {
        cause: error,
      })
    throw error
  }
}

function failing<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (error instanceof RaisedException) throw new ChatTemplateError(error.message, { cause: error })
    if (error instanceof JinjaError)
      throw new ChatTemplateError(`The chat template failed${lineOf(error)}: ${error.message}.`, { cause: error })
    throw error
  }
}

function lineOf(error: Error): string {
  return error instanceof JinjaError && error.line !== null ? ` at line ${error.line}` : ''
}
