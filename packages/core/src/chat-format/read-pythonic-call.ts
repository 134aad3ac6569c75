import type { CallWriter } from './call-writer.ts'
import type { PieceReader, Step } from './piece-reader.ts'
import { readPythonValue } from './python-value.ts'

const maxNameLength = 256

/**
 * Reads `name(key=value, …)`, whose values are Python's; the arguments become a JSON object. What was read is a call if
 * and only if it has begun then.
 */
export function* readPythonicCall(reader: PieceReader, call: CallWriter): Step<void> {
  yield* reader.skipBlank()
  const name = yield* readName(reader, /[\p{L}\p{M}\p{N}_.\-/]/u)
  if (name === '' || !(yield* reader.take('('))) return
  call.begin(name)
  call.write('{')
  for (let numRead = 0; ; numRead++) {
    yield* reader.skipBlank()
    if (yield* reader.take(')')) break
    if (numRead > 0) {
      if (!(yield* reader.take(','))) return
      yield* reader.skipBlank()
      if (yield* reader.take(')')) break
    }
    const key = yield* readName(reader, /[\p{L}\p{M}\p{N}_]/u)
    yield* reader.skipBlank()
    if (key === '' || !(yield* reader.take('='))) return
    yield* reader.skipBlank()
    call.write(`${numRead === 0 ? '' : ', '}${JSON.stringify(key)}: `)
    const value = yield* readPythonValue(reader)
    if (value === null) return
    call.write(value)
  }
  call.write('}')
  call.end()
}

function* readName(reader: PieceReader, allowed: RegExp): Step<string> {
  let name = ''
  for (;;) {
    const char = yield* reader.peek()
    if (char === '' || !allowed.test(char) || name.length >= maxNameLength) return name
    name += char
    reader.at++
  }
}
