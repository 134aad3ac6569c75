import { describe, expect, it } from 'vitest'
import { FrameReader, frameOf, maxFrameBytes } from './frame-reader.ts'

describe('frames', () => {
  it.each([1, 2, 3, 4, 5, 7, 11, 1000])('come out whole from pieces of %i bytes', (size) => {
    const sent = [[1, 2, 3], [], [4], Array.from({ length: 50 }, (_, i) => i), []]
    const bytes = Buffer.concat(sent.map((payload) => frameOf(Uint8Array.from(payload))))
    const reader = new FrameReader()
    const received: number[][] = []
    for (let at = 0; at < bytes.length; at += size)
      received.push(...reader.read(bytes.subarray(at, at + size)).map((payload) => [...payload]))
    expect(received).toEqual(sent)
  })

  it('are refused, before memory is taken, where they claim to be longer than the limit', () => {
    const header = Buffer.alloc(4)
    header.writeUInt32BE(maxFrameBytes + 1)
    expect(() => new FrameReader().read(header)).toThrow(RangeError)
  })
})
