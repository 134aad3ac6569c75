import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { Program } from './program.ts'

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

it('runs the example of the README as it stands there', async () => {
  const [, code = ''] = /```ts\n(.*?)```/s.exec(readme) ?? []
  expect(code.trim().split('\n').length).toBeLessThanOrEqual(7)
  // Inside this package, whose dependencies are the built packages.
  const folder = path.join(import.meta.dirname, '.vitest')
  mkdirSync(folder, { recursive: true })
  const file = path.join(folder, 'readme-example.ts')
  writeFileSync(file, code)
  await using program = new Program([file])
  expect(await program.exitCode, program.stderr).toBe(0)
  expect(program.stdout).toBe('老老师正在图书馆里读一本新书。\n')
})

it.each(['core', 'server', 'cli', 'backend-native'])(
  'no program of packages/%s/README.md is beyond Node 22',
  (name) => {
    const text = readFileSync(new URL(`../packages/${name}/README.md`, import.meta.url), 'utf8')
    expect(text).toContain('```ts')
    expect(text).not.toContain('await using')
  },
)

it('links to files that exist', () => {
  const targets = [...readme.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = '']) => target)
  expect(targets.length).toBeGreaterThan(5)
  const missing = targets.filter((target) => !existsSync(new URL(`../${target}`, import.meta.url)))
  expect(missing).toEqual([])
})
