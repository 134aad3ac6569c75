import { expect, test } from 'vitest'
import { Float, message } from './protobuf.ts'

/** The first three are the examples of https://protobuf.dev/programming-guides/encoding. */
test.each([
  ['a number', message([[1, 150]]), '08 96 01'],
  ['a text', message([[2, 'testing']]), '12 07 74 65 73 74 69 6e 67'],
  ['a message', message([[3, message([[1, 150]])]]), '1a 03 08 96 01'],
  ['zero', message([[1, 0]]), '08 00'],
  ['a negative number', message([[1, -2]]), '08 fe ff ff ff ff ff ff ff ff 01'],
  ['more than 32 bits', message([[1, 2 ** 32]]), '08 80 80 80 80 10'],
  ['a float', message([[2, new Float(1)]]), '15 00 00 80 3f'],
  ['a field above 15', message([[20, 7]]), 'a0 01 07'],
  ['nothing', message([]), ''],
])('%s', (_, bytes, hex) => {
  expect([...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')).toBe(hex)
})
