import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const run = promisify(execFile)
const root = path.join(import.meta.dirname, '..')
const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc')
const published = ['backend-native', 'cli', 'core', 'sdk', 'server']

describe('the packages as they are published', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'octavo-packed-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it.each(published)('%s depends on versions that a registry knows', async (name) => {
    const cwd = path.join(root, 'packages', name)
    const { stdout } = await run('pnpm', ['pack', '--json', '--pack-destination', folder], { cwd })
    const { filename } = JSON.parse(stdout) as { filename: string }
    const { stdout: packed } = await run('tar', ['-xzOf', path.resolve(folder, filename), 'package/package.json'])
    expect(packed).toContain('"version": ')
    expect(packed).not.toContain('workspace:')
  })

  it.each(published)('%s cannot be published by npm, which leaves workspace: in', async (name) => {
    const cwd = path.join(root, 'packages', name)
    // What runs the tests names itself there, and npm passes on what it finds.
    const { npm_config_user_agent: _, ...env } = process.env
    const refused = await run('npm', ['publish', '--dry-run', '--ignore-scripts=false'], { cwd, env }).then(
      () => 'nothing',
      ({ stderr }: { stderr: string }) => stderr,
    )
    expect(refused).toContain('use pnpm publish')
  })

  it('have types that check without skipLibCheck, but for those of TensorFlow.js', async () => {
    const program = path.join(import.meta.dirname, '.vitest', 'consumer.ts')
    await mkdir(path.dirname(program), { recursive: true })
    await writeFile(
      program,
      `export { AsyncEngine, LLM, type RequestOutput } from 'octavo'
export { LLM as CoreLLM } from '@octavo/core'
export { createApp } from '@octavo/server'
export { OctavoClient } from '@octavo/sdk'
`,
    )
    const options = '--noEmit --strict --skipLibCheck false --module nodenext --target es2023 --lib esnext'
    const args = [tsc, ...options.split(' '), '--types', 'node', '--ignoreConfig', program]
    const cwd = root
    const { stdout } = await run(process.execPath, args, { cwd }).catch((error: { stdout: string }) => error)
    // What is found there shows that libraries are checked: its types name elements of pages.
    expect(stdout).toContain('@tensorflow/tfjs-core/dist/')
    const ours = stdout.split('\n').filter((line) => /^(packages|tests)\//.test(line))
    expect(ours).toEqual([])
  })

  it('are published by pnpm in the workflow', () => {
    const { packageManager, scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
    expect(packageManager).toMatch(/^pnpm@/)
    expect(scripts.release).toContain('changeset publish')
  })
})
