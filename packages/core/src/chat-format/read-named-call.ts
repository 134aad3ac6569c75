import type { CallWriter } from './call-writer.ts'
import type { NamedCallSyntax } from './chat-format.ts'
import type { PieceReader, Step } from './piece-reader.ts'
import { readHead } from './read-frame.ts'
import { readArguments } from './read-json.ts'
import { endOf } from './call-frame.ts'
import { wordsOf } from './words-of.ts'

/** Reads a name, then arguments as JSON. What was read is a call if and only if it has begun then. */
export function* readNamedCall(reader: PieceReader, { frame }: NamedCallSyntax, call: CallWriter): Step<void> {
  const ends = wordsOf(endOf(frame))
  const head = yield* readHead(reader, frame, ['{', ...ends.slice(0, 1)])
  if (head === null) return
  yield* reader.skipBlank()
  if ((yield* reader.peek()) !== '{') {
    // A call that ends without arguments has none.
    if (ends.length === 0 || !(yield* reader.takeWords(ends))) return
    call.begin(head.name, head.id)
    return call.end()
  }
  call.begin(head.name, head.id)
  yield* readArguments(reader, call, ends.slice(0, 1))
  for (const word of ends) {
    yield* reader.skipBlank()
    if (!(yield* reader.takeOrCutOff(word))) break
  }
  call.end()
}
