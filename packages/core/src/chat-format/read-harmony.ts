import { CallWriter } from './call-writer.ts'
import type { MessageWriter } from './message-writer.ts'
import type { PieceReader, Step } from './piece-reader.ts'
import { readArguments } from './read-json.ts'

const ends = ['<|end|>', '<|call|>', '<|return|>', '<|start|>', '<|channel|>']
const begins = ['<|message|>', ...ends]
const maxHeaderLength = 512

export interface HarmonyOptions {
  readonly parsesCalls: boolean
  readonly promptTail: string
}

/** The header of a message that the prompt leaves open, for the model to go on with. */
function openHeader(promptTail: string): string | null {
  const turn = promptTail.slice(promptTail.lastIndexOf('<|start|>assistant'))
  const [header, text, ...others] = turn.split('<|message|>')
  return text !== undefined && others.length === 0 && !ends.some((end) => text.includes(end)) ? header! : null
}

/**
 * OpenAI's harmony: messages of channels, `<|start|>assistant<|channel|>NAME<|message|>…<|end|>`. The analysis channel is
 * reasoning, a message to `functions.NAME` a call, all else content; the first header begins in the prompt.
 */
export function* readHarmony(reader: PieceReader, message: MessageWriter, options: HarmonyOptions): Step<void> {
  const { parsesCalls, promptTail } = options
  for (let isFirst = true; ; isFirst = false) {
    const header = (isFirst ? openHeader(promptTail) : null) ?? (yield* readHeader(reader, message))
    if (header === null) return
    const channel = /<\|channel\|>\s*(\w+)/u.exec(header)?.[1] ?? 'final'
    const recipient = /\bto=([^\s<]+)/u.exec(header)?.[1] ?? null
    if (recipient !== null && parsesCalls) yield* readCall(reader, message, recipient)
    else if (channel === 'analysis') {
      if (!isFirst) message.cutReasoning()
      yield* reader.passUntil(ends, (from, to) => message.writeReasoning(reader.plainSlice(from, to)))
    } else yield* reader.passUntil(ends, (from, to) => message.writeContent(reader.plainSlice(from, to)))
  }
}

/** What stands before `<|message|>`; null at the end of the text. Text where a header should be is content. */
function* readHeader(reader: PieceReader, message: MessageWriter): Step<string | null> {
  const write = (from: number, to: number): void => message.writeContent(reader.plainSlice(from, to))
  yield* reader.skipBlank()
  let header = (yield* reader.take('to=')) ? 'to=' : ''
  if (header === '' && !(yield* reader.take('assistant'))) yield* reader.passUntil(begins, write)
  for (;;) {
    const stop = yield* reader.passUntil(begins, (from, to) => (header += reader.slice(from, to)))
    if (header.length > maxHeaderLength) {
      message.writeContent(header)
      header = ''
      if (stop !== null) yield* reader.passUntil(begins, write)
    }
    if (stop === null) return null
    reader.at += stop.length
    if (stop === '<|message|>') return header
    if (stop === '<|channel|>' || stop === '<|start|>') header += stop
    else {
      message.writeContent(header.replaceAll(/<\|\w+\|>/gu, ''))
      header = ''
    }
  }
}

function* readCall(reader: PieceReader, message: MessageWriter, recipient: string): Step<void> {
  const call = new CallWriter(message, () => undefined)
  yield* reader.skipBlank()
  call.begin(recipient.replace(/^functions\./u, ''))
  if ((yield* reader.peek()) === '{') {
    yield* readArguments(reader, call, ends)
    yield* reader.passUntil(ends, (from, to) => message.writeContent(reader.plainSlice(from, to)))
  } else yield* reader.passUntil(ends, (from, to) => call.write(reader.slice(from, to)))
  call.end()
}
