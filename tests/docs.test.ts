import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const root = path.join(import.meta.dirname, '..')

/** Sources of the packages, without their tests. */
function* sourcesOf(folder: string): Generator<string> {
  for (const name of readdirSync(path.join(root, 'packages', folder, 'src'), { recursive: true, encoding: 'utf8' }))
    if (/(?<![.](test|case))[.]ts$/.test(name)) yield path.join(root, 'packages', folder, 'src', name)
}

describe('docs', () => {
  it('of options and variables are what the tables say', async () => {
    const run = promisify(execFile)(process.execPath, [path.join(root, 'scripts', 'write-docs.mjs'), '--check'])
    await expect(run).resolves.toMatchObject({ stderr: '' })
  })

  it('name every endpoint', () => {
    const page = readFileSync(path.join(root, 'docs', 'endpoints.md'), 'utf8')
    const urls = [...sourcesOf('server')]
      .map((file) => readFileSync(file, 'utf8'))
      .filter((source) => source.includes('addEndpoint('))
      .flatMap((source) =>
        [...source.matchAll(/\burl: '(\/[^']+)'/g)].map(([, url = '']) =>
          url.replace('*', 'NAME').replace(/:\w+/, 'ID'),
        ),
      )
    expect(urls.length).toBeGreaterThanOrEqual(7)
    expect(urls.filter((url) => !new RegExp(`(/v1| )${url}(\`|, )`).test(page))).toEqual([])
  })

  it('name every variable: one file per package reads the environment', () => {
    const readers = readdirSync(path.join(root, 'packages'))
      .flatMap((name) => [...sourcesOf(name)])
      .filter((file) => /\bprocess[.]env\b(?!`)/.test(readFileSync(file, 'utf8')))
      .map((file) => path.relative(path.join(root, 'packages'), file))
    expect(readers.sort()).toEqual([
      'backend-native/src/native-env.ts',
      'cli/src/config/variables.ts',
      'core/src/config/env.ts',
      'parallel/src/parallel-env.ts',
    ])
  })
})
