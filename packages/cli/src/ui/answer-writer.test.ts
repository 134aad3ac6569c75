import { expect, it } from 'vitest'
import { AnswerWriter } from './answer-writer.ts'

function write(isTTY: boolean, deltas: readonly { reasoning: string; content: string }[]) {
  let text = ''
  const writer = new AnswerWriter({ isTTY, write: (piece) => (text += piece) })
  for (const delta of deltas) writer.add(delta)
  return { text, message: writer.message }
}

const thought = [
  { reasoning: 'Let me', content: '' },
  { reasoning: ' see.', content: 'It is' },
  { reasoning: '', content: ' 5.' },
]
const message = { reasoning: 'Let me see.', content: 'It is 5.' }

it('dims thinking on a terminal', () => {
  const dim = (text: string): string => `\u001b[2m${text}\u001b[22m`
  expect(write(true, thought)).toEqual({ text: `${dim('Let me')}${dim(' see.')}\n\nIt is 5.`, message })
})

it('leaves thinking out elsewhere', () => {
  expect(write(false, thought)).toEqual({ text: 'It is 5.', message })
})

it.each([true, false])('writes answers without thinking as they are (terminal: %s)', (isTTY) => {
  const content = 'It is 5.'
  expect(write(isTTY, [{ reasoning: '', content }])).toEqual({ text: content, message: { content } })
})
