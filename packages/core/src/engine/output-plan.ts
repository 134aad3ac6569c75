import { afterReasoning } from '../chat-format/after-reasoning.ts'
import type { ChatFormat } from '../chat-format/chat-format.ts'
import { createOutputParser, type OutputParser } from '../chat-format/output-parser.ts'
import { isThinkingOpen } from '../chat-format/is-thinking-open.ts'
import { InvalidRequestError } from '../errors.ts'
import type { SamplingParams } from '../sampling-params.ts'
import type { TagFormat } from '../structured-output/structural-tag.ts'
import type { PromptInput } from './engine-client.ts'
import { type ChatPrompt, isForced, type OfferedTools, offeredTools } from './offered-tools.ts'
import type { MessageSource } from './sample-output.ts'
import type { GrammarInput } from './translate-grammar.ts'

/** What an output must be, and how it is read. */
export interface OutputPlan {
  readonly messages: MessageSource
  /** For `translateGrammar`; `null`: any output will do. */
  readonly grammarInput: GrammarInput | null
  /** A translated grammar where there is thinking before it. */
  afterThinking(grammar: string): string
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
  const { structuredOutput: structured } = params
  if (prompt.type !== 'chat' || format === null) {
    const grammarInput = structured && { structured, format: null, offered: null, parallel: true }
    return { messages: 'none', grammarInput, afterThinking: (grammar) => grammar }
  }
  const offered = offeredTools(prompt)
  if (offered !== null && format.toolCalls === null && (prompt.parseOutput === true || isForced(offered.choice)))
    throw new InvalidRequestError([{ field: 'tools' }, `: ${format.whyNoToolCalls ?? ''}`], 'tools')
  const promptTail = promptText ?? ''
  const isHeld = structured !== null || (offered !== null && mayBeHeld(offered))
  const parallel = prompt.parallelToolCalls ?? true
  return {
    messages: prompt.parseOutput === true ? messageSource(format, { prompt, offered, promptTail, params }) : 'none',
    grammarInput: isHeld ? { structured, format, offered, parallel } : null,
    afterThinking: (grammar) =>
      format.reasoning === null
        ? grammar
        : JSON.stringify(afterReasoning(format, promptTail, JSON.parse(grammar) as TagFormat)),
  }
}

/** Whether the calls of the tools need a grammar. */
function mayBeHeld({ tools, choice }: OfferedTools): boolean {
  return choice !== 'auto' || tools.some((tool) => tool.function.strict === true)
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
  const options = {
    tools,
    promptTail,
    areCallsForced: readsCalls && isForced(offered.choice),
    keepSpecialTokens: !params.skipSpecialTokens,
  }
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
