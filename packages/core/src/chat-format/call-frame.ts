import type { CallFrame, CallSyntax, ToolCallSyntax } from './chat-format.ts'
import { wordsOf } from './words-of.ts'

/** The text in front of a call's first slot. */
export function beginOf(frame: CallFrame): string {
  const [first] = frame
  return typeof first === 'object' ? first.text : ''
}

/** The text behind a call's last slot. */
export function endOf(frame: CallFrame): string {
  const last = frame.at(-1)
  return typeof last === 'object' ? last.text : ''
}

/** Parts without empty texts, neighbouring texts as one. */
export function frameOf(parts: CallFrame): CallFrame {
  const frame: CallFrame[number][] = []
  for (const part of parts) {
    const last = frame.at(-1)
    if (typeof part !== 'object') frame.push(part)
    else if (part.text === '') continue
    else if (typeof last === 'object') frame[frame.length - 1] = { text: last.text + part.text }
    else frame.push(part)
  }
  return frame
}

/** What all calls of a dialect begin with. */
export function beginOfCall(call: CallSyntax): string {
  if (call.type === 'json') return call.begin + beginOf(call.frame)
  if (call.type === 'harmony') return '<|channel|>commentary to=functions.'
  return call.type === 'pythonic' ? '' : beginOf(call.frame)
}

/** What all calls of a dialect end with. */
export function endOfCall(call: CallSyntax): string {
  if (call.type === 'json') return endOf(call.frame) + call.end
  if (call.type === 'harmony') return ''
  return call.type === 'pythonic' ? ')' : endOf(call.frame)
}

/** Calls have no markup of their own: they are known by a bracket that the answer begins with. */
export function isBareCall({ begin, call }: ToolCallSyntax): boolean {
  return /^[[{]?$/u.test(wordsOf(begin + beginOfCall(call)).at(0) ?? '')
}
