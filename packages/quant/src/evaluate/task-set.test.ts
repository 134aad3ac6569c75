import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { InvalidConfigError } from '@octavo/core'
import { afterAll, describe, expect, it } from 'vitest'
import { readTaskSet } from './task-set.ts'

const folder = mkdtempSync(join(tmpdir(), 'octavo-tasks-'))
afterAll(() => rmSync(folder, { recursive: true }))

function write(...lines: string[]): string {
  const file = join(folder, 'set.jsonl')
  writeFileSync(file, lines.join('\n'))
  return file
}

describe('readTaskSet', () => {
  it('reads those of octavo-tiny', () => {
    const { name, items } = readTaskSet(
      fileURLToPath(new URL('../../../../fixtures/octavo-tiny-eval/tools.jsonl', import.meta.url)),
    )
    expect(name).toBe('tools')
    expect(items).toHaveLength(200)
    expect(items.every(({ tools }) => tools !== undefined)).toBe(true)
  })

  it('takes a prompt in place of messages, exact by default, and passes over empty lines', () => {
    expect(readTaskSet(write('{"prompt": "1+1?", "answer": "2"}', '')).items).toEqual([
      { messages: [{ role: 'user', content: '1+1?' }], answer: '2', metric: 'exact' },
    ])
  })

  it.each([
    ['{"prompt": "secret", "answer": "2"', ':2 is no JSON'],
    ['{"answer": "2"}', ':2: needs either messages or prompt'],
    ['{"prompt": "a", "messages": [{"role": "user"}], "answer": "2"}', ':2: needs either'],
    ['{"prompt": "a"}', ':2: needs an answer'],
    ['{"prompt": "a", "answer": 2}', ':2: answer must be a text'],
    ['{"prompt": "a", "answer": "2", "metric": "bleu"}', ':2: metric: '],
    ['{"prompt": "a", "answer": "2", "anwser": "3"}', ':2: Unrecognized key: "anwser"'],
  ])('says what is wrong with %s, without quoting it', (line, reason) => {
    const read = () => readTaskSet(write('{"prompt": "1+1?", "answer": "2"}', line))
    expect(read).toThrow(InvalidConfigError)
    expect(read).toThrow(reason)
    expect(read).not.toThrow('secret')
  })

  it('refuses an empty file and one that is not there', () => {
    expect(() => readTaskSet(write(''))).toThrow('has no items')
    expect(() => readTaskSet(join(folder, 'none.jsonl'))).toThrow('cannot be read')
  })
})
