import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { readLines } from './read-lines.ts'

async function linesOf(text: string, { pieceLength = 1000, maxLineBytes = 100 } = {}) {
  const bytes = Buffer.from(text)
  const pieces = Array.from({ length: Math.ceil(bytes.length / pieceLength) }, (_, i) =>
    bytes.subarray(i * pieceLength, (i + 1) * pieceLength),
  )
  const lines: [number, string | null][] = []
  for await (const { number, bytes: line } of readLines(Readable.from(pieces), maxLineBytes))
    lines.push([number, line === null ? null : line.toString()])
  return lines
}

describe('readLines', () => {
  it.each([1, 2, 3, 7, 1000])('gives the lines that are not blank, whatever pieces come: %i', async (pieceLength) => {
    const text = 'one\n\n  \r\ntwo ü\r\nthree'
    expect(await linesOf(text, { pieceLength })).toEqual([
      [1, 'one'],
      [4, 'two ü\r'],
      [5, 'three'],
    ])
    expect(await linesOf(`${text}\n`, { pieceLength })).toHaveLength(3)
    expect(await linesOf('', { pieceLength })).toEqual([])
    const long = await linesOf(`a\n${'x'.repeat(101)}\n${'y'.repeat(100)}\n`, { pieceLength })
    expect(long).toEqual([
      [1, 'a'],
      [2, null],
      [3, 'y'.repeat(100)],
    ])
  })
})
