import type { CallFrame } from './chat-format.ts'

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
