import type { ChatTemplate } from '../tokenizer/chat-template.ts'
import { messageOf } from '../util/message-of.ts'
import type { ChatFormat, ReasoningSyntax, ToolCallSyntax } from './chat-format.ts'
import { deriveReasoning } from './derive-reasoning.ts'
import { deriveToolCalls, type ProbedCalls, probeCalls, probeToolCalls } from './derive-tool-calls.ts'
import { beginOfCall } from './call-frame.ts'
import { fallbackFormats, ownFormats } from './known-formats.ts'
import { createOutputParser } from './output-parser.ts'
import { longProbeIds, probe, TemplateProbe } from './template-probe.ts'
import { commonPrefix } from './text-difference.ts'
import { wordsOf } from './words-of.ts'

export interface DeriveOptions {
  /** Texts of the tokens that end a turn; the model writes them, but they are no part of its calls. */
  readonly stopTokens: readonly string[]
}

const known = new WeakMap<ChatTemplate, ChatFormat>()

/**
 * How a model writes reasoning and tool calls, found out by rendering its chat template with and without them and
 * comparing. Never throws: what cannot be found out is null. Computed once per template.
 */
export function deriveChatFormat(template: ChatTemplate, options: DeriveOptions): ChatFormat {
  const format = known.get(template) ?? tryDerive(template, options)
  known.set(template, format)
  return format
}

const nothing: ChatFormat = { reasoning: null, toolCalls: null, whyNoToolCalls: null, turn: null, content: null }

/** Templates come from anybody: whatever goes wrong with one, its model can still be used. */
function tryDerive(template: ChatTemplate, options: DeriveOptions): ChatFormat {
  try {
    return derive(template, options)
  } catch (error) {
    return { ...nothing, whyNoToolCalls: `The chat template cannot be looked at: ${messageOf(error)}.` }
  }
}

function derive(template: ChatTemplate, { stopTokens }: DeriveOptions): ChatFormat {
  const { source } = template
  const own = ownFormats.find((format) => format.matches(source))
  if (own !== undefined) return { ...own.format, whyNoToolCalls: null }
  const templateProbe = new TemplateProbe(template)
  const [call] = probeCalls(longProbeIds)
  const turns = [{ content: probe.content }, { content: probe.content, calls: [call] }, { calls: [call] }]
  const reasoning = deriveReasoning(templateProbe, turns, source)
  const content = deriveContent(templateProbe, { reasoning, stopTokens })
  const probed = probeToolCalls(templateProbe, { reasoning, content, stopTokens })
  const derived = typeof probed === 'string' ? probed : verified(deriveToolCalls(probed), probed)
  const fallback = typeof derived === 'string' ? fallbackFormats.find((format) => format.matches(source)) : undefined
  const toolCalls = typeof derived === 'string' ? (fallback?.format.toolCalls ?? null) : derived
  return {
    reasoning,
    toolCalls,
    turn: deriveTurn(templateProbe, reasoning),
    content,
    whyNoToolCalls: toolCalls === null && typeof derived === 'string' ? derived : null,
  }
}

/** A format counts only if it reads what the template wrote. */
function verified(toolCalls: ToolCallSyntax | string, probed: ProbedCalls): ToolCallSyntax | string {
  if (typeof toolCalls === 'string') return toolCalls
  const isRead = [probed.one, probed.two].every(
    (text, i) => text === null || reads(toolCalls, text, probed.calls.slice(0, i + 1)),
  )
  return isRead && !isGuess(toolCalls) ? toolCalls : 'The chat template writes calls in a way that is not known.'
}

/** Markup that has the probes in it is other markup for other calls; a name without markup before it is any word. */
function isGuess({ begin, call }: ToolCallSyntax): boolean {
  if (call.type === 'named' && wordsOf(begin + beginOfCall(call)).length === 0) return true
  const text = JSON.stringify(call)
  return [...probe.names, ...probe.keys, ...probe.values].some((word) => text.includes(word))
}

function reads(toolCalls: ToolCallSyntax, text: string, calls: ProbedCalls['calls'][number][]): boolean {
  const format = { ...nothing, toolCalls }
  const parser = createOutputParser(format, { tools: [], promptTail: '' })
  parser.push(text, false)
  parser.finish()
  const message = parser.take()
  return (
    message.content === '' &&
    message.toolCalls.length === calls.length &&
    calls.every((call, i) => {
      const read = message.toolCalls[i]!
      const name = toolCalls.call.type === 'named' && toolCalls.call.hasNameInId ? call.id : call.name
      return read.name === name && isSame(read.arguments, call.arguments)
    })
  )
}

function isSame(text: string, value: unknown): boolean {
  try {
    return JSON.stringify(JSON.parse(text)) === JSON.stringify(value)
  } catch {
    return false
  }
}

/** What the template writes between a question and its answer, but for thinking that it opens or ends. */
function deriveTurn(template: TemplateProbe, reasoning: ReasoningSyntax | null): string | null {
  const prompt = template.prompt()
  const at = prompt?.lastIndexOf(probe.user) ?? -1
  if (prompt === null || at === -1) return null
  const turn = prompt.slice(at + probe.user.length)
  const markers = reasoning === null ? [] : [reasoning.begin, reasoning.end].filter((marker) => marker !== '')
  // The end of thinking may end a message, too: only what follows the turn's last other text is thinking's.
  const thought = Math.min(...markers.map((marker) => turn.indexOf(marker)).filter((index) => index > 0), turn.length)
  const trimmed = turn.slice(0, thought).trim()
  return trimmed === '' ? null : trimmed
}

interface ContentOptions extends DeriveOptions {
  readonly reasoning: ReasoningSyntax | null
}

/** What stands around an answer: a tag that the prompt does not open, and the one that follows the text. */
function deriveContent(template: TemplateProbe, { reasoning, stopTokens }: ContentOptions): ChatFormat['content'] {
  const [prompt, answer] = [template.prompt(), template.answer({ content: probe.content })]
  const at = answer?.indexOf(probe.content) ?? -1
  if (prompt === null || answer === null || at === -1) return null
  let lead = answer.slice(Math.min(at, commonPrefix(answer, prompt).length), at)
  const thoughtEnd = reasoning === null ? -1 : lead.lastIndexOf(reasoning.end)
  if (thoughtEnd !== -1) lead = lead.slice(thoughtEnd + reasoning!.end.length)
  const begin = /^\s*(<[^<>\s]+>)\s*$/u.exec(lead)?.[1]
  if (begin === undefined || begin === reasoning?.begin) return null
  const tail = answer.slice(at + probe.content.length).trimStart()
  const end = /^<[^<>\s]+>/u.exec(tail)?.[0] ?? ''
  return { begin, end: stopTokens.includes(end) ? '' : end }
}
