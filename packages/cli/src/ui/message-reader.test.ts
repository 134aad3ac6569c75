import { expect, it } from 'vitest'
import { MessageReader } from './message-reader.ts'

function read(lines: readonly string[]): { messages: (string | null)[]; rest: string } {
  const reader = new MessageReader()
  return { messages: lines.map((line) => reader.add(line)), rest: reader.end() }
}

it.each([
  [['one ', ' two'], ['one', 'two'], ''],
  [['one\\', 'two'], [null, 'one\ntwo'], ''],
  [['"""one', '', 'two"""', 'three'], [null, null, 'one\n\ntwo', 'three'], ''],
  [['"""', 'one\\', '"""'], [null, null, 'one\\'], ''],
  [['"""one"""'], ['one'], ''],
  [['"""one'], [null], 'one'],
  [['one\\'], [null], 'one'],
  [[''], [''], ''],
])('%j', (lines, messages, rest) => {
  expect(read(lines)).toEqual({ messages, rest })
})
