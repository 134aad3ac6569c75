import type { Readable } from 'node:stream'

export interface InputLine {
  /** From 1 on. */
  readonly number: number
  /** `null` where it is longer than the limit. */
  readonly bytes: Buffer | null
}

const newline = 0x0a

/** The lines of a file of any size that are not blank; of one that is too long no more is held than the limit. */
export async function* readLines(file: Readable, maxLineBytes: number): AsyncGenerator<InputLine, void, undefined> {
  let number = 1
  let held: Buffer[] = []
  let numHeld = 0
  const take = (): InputLine | null => {
    const bytes = numHeld > maxLineBytes ? null : Buffer.concat(held)
    ;[held, numHeld] = [[], 0]
    return bytes !== null && isBlank(bytes) ? null : { number, bytes }
  }
  const hold = (bytes: Buffer): void => {
    numHeld += bytes.length
    if (numHeld > maxLineBytes) held = []
    else held.push(bytes)
  }
  for await (const chunk of file as AsyncIterable<Buffer>) {
    let start = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      hold(chunk.subarray(start, end))
      const line = take()
      if (line !== null) yield line
      number++
      start = end + 1
    }
    hold(chunk.subarray(start))
  }
  const last = take()
  if (last !== null) yield last
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x0d || byte === 0x09)
}
