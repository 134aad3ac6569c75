import { afterReasoning, asContent } from '../chat-format/after-reasoning.ts'
import type { ChatFormat } from '../chat-format/chat-format.ts'
import { createOutputParser, type OutputParser } from '../chat-format/output-parser.ts'
import { isThinkingOpen } from '../chat-format/is-thinking-open.ts'
import { toolCallFormat } from '../chat-format/tool-call-format.ts'
import type { ToolChoice } from '../chat-format/tool-choice.ts'
import { InvalidRequestError } from '../errors.ts'
import type { SamplingParams } from '../sampling-params.ts'
import { eitherFormat } from '../structured-output/either-format.ts'
import { resolveStructuredOutput } from '../structured-output/resolve-structured-output.ts'
import type { TagFormat } from '../structured-output/structural-tag.ts'
import type { PromptInput } from './engine-client.ts'
import { type ChatPrompt, isForced, type OfferedTools, offeredTools } from './offered-tools.ts'
import type { MessageSource } from './sample-output.ts'

/** What an output must be, and how it is read. */
export interface OutputPlan {
  readonly messages: MessageSource
  /** A `TagFormat` as JSON text. */
  readonly grammar: string | null
}

export interface PlanOptions {
  readonly prompt: PromptInput
  /** `null` for token ids. */
  readonly promptText: string | null
  /** Of a chat prompt's template. */
  readonly format: ChatFormat | null
  readonly params: SamplingParams
}

/** @throws InvalidRequestError */
export function planOutput({ prompt, promptText, format, params }: PlanOptions): OutputPlan {
  const structured = params.structuredOutput === null ? null : resolveOnce(params.structuredOutput)
  if (prompt.type !== 'chat' || format === null) return { messages: 'none', grammar: toText(structured) }
  const offered = offeredTools(prompt)
  if (offered !== null && format.toolCalls === null && (prompt.parseOutput === true || isForced(offered.choice)))
    throw new InvalidRequestError([{ field: 'tools' }, `: ${format.whyNoToolCalls ?? ''}`], 'tools')
  const promptTail = promptText ?? ''
  const content = structured && asContent(format, structured)
  const grammar = answerGrammar(content, { prompt, format, offered })
  return {
    messages: prompt.parseOutput === true ? messageSource(format, { prompt, offered, promptTail, params }) : 'none',
    grammar: toText(grammar && afterReasoning(format, promptTail, grammar)),
  }
}

function toText(grammar: TagFormat | null): string | null {
  return grammar && JSON.stringify(grammar)
}

/** What follows the reasoning. An answer that must be of a kind may still be a call of a tool. */
function answerGrammar(
  structured: TagFormat | null,
  { prompt, format, offered }: { prompt: ChatPrompt; format: ChatFormat; offered: OfferedTools | null },
): TagFormat | null {
  if (offered === null) return structured
  const { tools, choice } = offered
  const parallel = prompt.parallelToolCalls ?? true
  if (structured === null || isForced(choice)) return toolCallFormat(format, { tools, choice, parallel })
  const mayCall = typeof choice === 'object' && 'allowed' in choice ? choice.allowed : null
  const forced: ToolChoice = mayCall === null ? 'required' : { allowed: mayCall, mode: 'required' }
  const calls = toolCallFormat(format, { tools, choice: forced, parallel })
  return calls === null ? structured : eitherFormat(structured, calls)
}

interface MessageOptions extends Pick<PlanOptions, 'params'> {
  readonly prompt: ChatPrompt
  readonly offered: OfferedTools | null
  readonly promptTail: string
}

function messageSource(format: ChatFormat, { prompt, offered, promptTail, params }: MessageOptions): MessageSource {
  const readsCalls = offered !== null && format.toolCalls !== null
  if (!params.detokenize || (format.reasoning === null && format.content === null && !readsCalls)) return 'plain'
  const tools = readsCalls ? offered.tools : null
  const options = { tools, promptTail, keepSpecialTokens: !params.skipSpecialTokens }
  const create = (): OutputParser => createOutputParser(format, options)
  return (prompt.parallelToolCalls ?? true) ? create : () => withFirstCallOnly(create())
}

/** A model that no grammar holds may make further calls nevertheless. */
function withFirstCallOnly(parser: OutputParser): OutputParser {
  return {
    push: (text, isSpecial) => parser.push(text, isSpecial),
    finish: () => parser.finish(),
    take() {
      const message = parser.take()
      return { ...message, toolCalls: message.toolCalls.filter(({ index }) => index === 0) }
    },
  }
}

/** Texts whose tokens limit thinking; `null` where the request sets no limit. */
export interface ThinkingTexts {
  readonly maxTokens: number
  readonly start: string
  readonly end: string
  readonly isOpen: boolean
}

/** @throws InvalidRequestError where the model's format marks no thinking */
export function thinkingTexts({ promptText, format, params }: PlanOptions): ThinkingTexts | null {
  const { thinkingTokenBudget: maxTokens } = params
  if (maxTokens === null) return null
  if (format === null || format.reasoning === null) {
    const why = format === null ? 'needs a chat' : "needs a model whose chat template marks the model's thinking"
    throw new InvalidRequestError([{ field: 'thinkingTokenBudget' }, ` ${why}; leave it out.`], 'thinkingTokenBudget')
  }
  const { begin, beforeEnd, end, afterEnd } = format.reasoning
  const isOpen = isThinkingOpen(format, promptText ?? '')
  return { maxTokens, start: begin, end: beforeEnd + end + afterEnd, isOpen }
}

/** The same constraint, of all prompts of a request, is translated once. */
const resolved = new WeakMap<object, TagFormat>()

function resolveOnce(wanted: NonNullable<SamplingParams['structuredOutput']>): TagFormat {
  const known = resolved.get(wanted)
  if (known !== undefined) return known
  const format = resolveStructuredOutput(wanted)
  resolved.set(wanted, format)
  return format
}
