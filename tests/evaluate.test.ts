/** `octavo evaluate` and `octavo inspect`, as installed. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { octavo } from './program.ts'

const fixtures = path.join(import.meta.dirname, '..', 'fixtures')
const folder = mkdtempSync(path.join(tmpdir(), 'octavo-evaluate-'))
afterAll(() => rmSync(folder, { recursive: true }))

interface Figures {
  readonly original: { readonly speed: { readonly decode16: number } | null }
  readonly models: readonly { readonly divergences: readonly { readonly divergence: { readonly max: number } }[] }[]
}

describe('octavo evaluate', () => {
  it('prints tables, and writes figures and a report without a word of what was asked or answered', async () => {
    const [html, json] = [path.join(folder, 'report.html'), path.join(folder, 'figures.json')]
    await using program = octavo([
      'evaluate',
      'octavo-tiny',
      ...['--against', 'octavo-tiny', '--html', html, '--json', json],
      ...['--data', path.join(fixtures, 'octavo-tiny-eval/qa.jsonl'), '--max-items', '8'],
      ...['--text', path.join(fixtures, 'evaluation/text.txt'), '--max-text-tokens', '200'],
      ...['--layer-tokens', '64', '--speed-rounds', '1', '--prefill-tokens', '32'],
    ])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toMatch(/^\| model +\| weights/)
    expect(program.stdout).toContain('within the interval')
    const figures = JSON.parse(readFileSync(json, 'utf8')) as Figures
    expect(figures.models[0]!.divergences.map(({ divergence }) => divergence.max)).toEqual([0, 0])
    expect(figures.original.speed!.decode16).toBeGreaterThan(1)
    const report = readFileSync(html, 'utf8')
    expect(report).toContain('<!doctype html>')
    for (const text of [report, program.stdout, program.stderr, JSON.stringify(figures)])
      expect(text).not.toMatch(/Calculate|capital|Victor/)
  })

  it.each([
    [['octavo-tiny'], '--data: there is nothing to evaluate on'],
    [['a', 'b', '--text', 'x'], '--against: say which original'],
    [['octavo-tiny', '--text', 'x', '--window-tokens', '1'], '--window-tokens'],
  ])('refuses %j', async (args, reason) => {
    await using program = octavo(['evaluate', ...args])
    expect(await program.exitCode).toBe(2)
    expect(program.stderr).toContain(reason)
  })
})

it('octavo evaluate names a text that is not there', async () => {
  await using program = octavo(['evaluate', 'octavo-tiny', '--text', '/no/such/text'])
  expect(await program.exitCode).toBe(1)
  expect(program.stderr).toContain('--text: /no/such/text cannot be read')
})

describe('octavo inspect', () => {
  it('says what a model is', async () => {
    await using program = octavo(['inspect', 'octavo-tiny'])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toContain('LlamaForCausalLM, 5 layers of 256')
    expect(program.stdout).toMatch(/parameters +3\.44M in 6\.57 MiB, 16\.00 bits each/)
    expect(program.stdout).toMatch(/memory +fits with its whole context/)
  })

  it('as JSON, of a .gguf file', async () => {
    await using program = octavo(['inspect', path.join(fixtures, 'gguf/llama-q4_0.gguf'), '--json'])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(JSON.parse(program.stdout)).toMatchObject({ numLayers: 3, formats: [{ name: 'q4_0' }, { name: 'float32' }] })
  })

  it('names what is no model', async () => {
    await using program = octavo(['inspect', '/no/such/model'])
    expect(await program.exitCode).toBe(1)
    expect(program.stderr).toContain('/no/such/model')
  })
})
