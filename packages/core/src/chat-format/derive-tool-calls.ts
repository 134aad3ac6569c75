import { frameOf } from './call-frame.ts'
import type { CallFrame, ChatFormat, CallSyntax, ReasoningSyntax, ToolCallSyntax } from './chat-format.ts'
import { locateCall } from './locate-call.ts'
import type { LocatedCall } from './located-call.ts'
import { withIndex } from './locate-json-call.ts'
import { longProbeIds, probe, type ProbeCall, probeIds, type TemplateProbe } from './template-probe.ts'
import { commonPrefix, commonSuffix, splitSeam } from './text-difference.ts'

export interface DeriveCallsOptions {
  readonly reasoning: ReasoningSyntax | null
  readonly content: ChatFormat['content']
  readonly stopTokens: readonly string[]
}

/** The calls that templates are asked to write. */
export function probeCalls(ids: readonly [string, string]): readonly [ProbeCall, ProbeCall] {
  const args = { [probe.keys[0]]: probe.values[0], [probe.keys[1]]: probe.values[1] }
  return [
    { name: probe.names[0], arguments: args, id: ids[0] },
    { name: probe.names[1], arguments: args, id: ids[1] },
  ]
}

/** What the model would have written for one call and for two; a reason where that cannot be seen. */
export interface ProbedCalls {
  readonly one: string
  readonly two: string | null
  readonly calls: readonly [ProbeCall, ProbeCall]
  readonly idStyle: ToolCallSyntax['idStyle']
  /** What stands between a key and a number; null where that cannot be seen. */
  readonly numberKeyEnd: string | null
}

/** @returns a sentence where the template shows no calls */
export function probeToolCalls(template: TemplateProbe, options: DeriveCallsOptions): ProbedCalls | string {
  const plain = template.answer({ content: probe.content })
  const prompt = template.prompt()
  if (plain === null || prompt === null) return `The chat template refuses a plain conversation: ${template.error}`
  for (const ids of [longProbeIds, probeIds]) {
    const calls = probeCalls([...ids])
    const one = template.answer({ calls: [calls[0]] })
    if (one === null) continue
    const both = template.answer({ calls })
    // Templates that write one call only leave others out.
    const two = both === one ? null : both
    const written = (text: string): string => writtenText(text, { ...options, plain, prompt, calls })
    const idStyle = ids === probeIds ? 'nineAlphanumerics' : 'any'
    const mixed = template.answer({ content: probe.content, calls: [calls[0]] })
    const wrapper = mixed === null ? '' : wrapperOf(written(mixed))
    const cut = (text: string): string => (text.startsWith(wrapper) ? text.slice(wrapper.length).trimStart() : text)
    return {
      one: cut(written(one)),
      two: two === null ? null : cut(written(two)),
      calls,
      idStyle,
      numberKeyEnd: numberKeyEnd(template, calls[0]),
    }
  }
  return `The chat template refuses calls of tools: ${template.error}`
}

function numberKeyEnd(template: TemplateProbe, call: ProbeCall): string | null {
  const [key] = probe.keys
  const text = template.answer({ calls: [{ ...call, arguments: { [key]: probe.number } }] }) ?? ''
  const from = text.lastIndexOf(key) + key.length
  const to = text.indexOf(String(probe.number), from)
  return text.includes(key) && to !== -1 ? text.slice(from, to) : null
}

/** Two tags around what is said beside calls, which stay where nothing is said (Llama 4). */
function wrapperOf(written: string): string {
  const found = wrapped.exec(written)
  return found === null ? '' : found[1]! + found[2]!
}

const wrapped = new RegExp(`^(<[^<>\\s]+>)${probe.content}(<[^<>\\s]+>)`, 'u')

interface WrittenTextOptions extends DeriveCallsOptions {
  readonly plain: string
  readonly prompt: string
  readonly calls: readonly ProbeCall[]
}

/** Of a conversation that ends with calls, what the model would have written, but for thinking and the end of the turn. */
function writtenText(
  text: string,
  { plain, prompt, calls, reasoning, content, stopTokens }: WrittenTextOptions,
): string {
  const tail = commonSuffix(text, plain)
  let written = text.slice(commonPrefix(text, prompt).length, text.length - tail.length)
  const first = Math.min(...[calls[0]!.name, calls[0]!.id].map((needle) => positionOf(written, needle)))
  const thoughtEnd = reasoning === null ? -1 : written.lastIndexOf(reasoning.end, first)
  if (thoughtEnd !== -1) written = written.slice(thoughtEnd + reasoning!.end.length)
  written = withoutStops(written, stopTokens).trim()
  const wrapper = content?.begin ?? ''
  return written.startsWith(wrapper) ? written.slice(wrapper.length).trimStart() : written
}

function positionOf(text: string, needle: string): number {
  const index = text.indexOf(needle)
  return index === -1 ? text.length : index
}

/** Ends of turns that few configurations list among their stop tokens. */
const commonStops: readonly string[] = ['<|eom_id|>', '<|eot_id|>', '<|im_end|>', '<|end|>', '</s>', '<|endoftext|>']

function withoutStops(text: string, stopTokens: readonly string[]): string {
  const stops = [...stopTokens, ...commonStops].filter((stop) => stop !== '')
  for (let rest = text.trimEnd(); ;) {
    const stop = stops.find((end) => rest.endsWith(end))
    if (stop === undefined) return rest
    rest = rest.slice(0, -stop.length).trimEnd()
  }
}

/** Takes the texts of calls apart. @returns a sentence where they follow no known pattern */
export function deriveToolCalls({
  one,
  two,
  calls,
  idStyle,
  numberKeyEnd: valueKeyEnd,
}: ProbedCalls): ToolCallSyntax | string {
  const found = locateCall(one, calls[0])
  if (found === null) return 'The chat template writes no calls, or in a way that is not known.'
  const [before, after] = [one.slice(0, found.from), one.slice(found.to)]
  if (two === null) {
    const call = syntaxOf(found, { begin: before, end: after, next: null, valueKeyEnd })
    return { begin: '', end: '', separator: null, call, idStyle }
  }
  const next = locateCall(two.slice(found.to), calls[1])
  if (!two.startsWith(one.slice(0, found.to)) || next === null)
    return 'The chat template writes two calls otherwise than one.'
  const seam = splitSeam(two.slice(found.to, found.to + next.from), { before, after })
  const call = syntaxOf(found, { begin: seam.begin, end: seam.end, next, valueKeyEnd })
  return {
    begin: before.slice(0, before.length - seam.begin.length),
    end: after.slice(seam.end.length),
    separator: seam.separator,
    call,
    idStyle,
  }
}

interface Surroundings {
  readonly begin: string
  readonly end: string
  /** A second call; what it has otherwise than the first and is not asked for counts calls. */
  readonly next: LocatedCall | null
  readonly valueKeyEnd: string | null
}

function syntaxOf(found: LocatedCall, { begin, end, next, valueKeyEnd }: Surroundings): CallSyntax {
  const { syntax } = found
  if (syntax.type === 'json') return { ...syntax, begin, end, frame: withIndex(syntax.frame, frameOfJson(next)) }
  if (syntax.type === 'named') {
    const frame = frameOf([{ text: begin }, ...syntax.frame, { text: end }])
    return { type: 'named', frame, hasNameInId: syntax.hasNameInId }
  }
  // The last parameter's end is part of what follows the call's last value.
  const { parameter } = syntax
  const seam = splitSeam(found.betweenParameters, { before: parameter.begin, after: end })
  const nameEnd = parameter.begin.slice(0, parameter.begin.length - seam.begin.length)
  return {
    type: 'tagged',
    frame: frameOf([
      { text: begin },
      ...syntax.frame,
      { text: nameEnd },
      'arguments',
      { text: end.slice(seam.end.length) },
    ]),
    parameter: {
      begin: seam.begin,
      keyEnd: parameter.keyEnd,
      valueKeyEnd: valueKeyEnd === parameter.keyEnd ? null : valueKeyEnd,
      end: seam.end,
      separator: seam.separator,
    },
  }
}

function frameOfJson(call: LocatedCall | null): CallFrame | null {
  return call?.syntax.type === 'json' ? call.syntax.frame : null
}
