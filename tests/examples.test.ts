import { createRequire } from 'node:module'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { Program, serveTiny } from './program.ts'

const folder = path.dirname(createRequire(import.meta.url).resolve('@example/basics/package.json'))
const example = (name: string): string => path.join(folder, name)

describe('examples/basics', () => {
  it('offline.ts answers a batch and a stream', async () => {
    await using program = new Program([example('offline.ts')])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toContain('→ 老老师正在图书馆里读一本新书。\n')
    expect(program.stdout).toContain('→ 我的姐姐不喜欢这些红色的帽子。\n')
    expect(program.stdout).toMatch(/47 \+ 35 = 82\.\n$/)
  })

  it('chat-cli.ts remembers what was said', async () => {
    await using program = new Program([example('chat-cli.ts')], { input: 'My name is Clara.\nWhat is my name?\n' })
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout.match(/Clara/g)?.length).toBeGreaterThanOrEqual(2)
  })

  it('openai-client.ts talks to a server', async () => {
    const { program: server, url } = await serveTiny()
    await using _ = server
    await using program = new Program([example('openai-client.ts')], { env: { OPENAI_BASE_URL: `${url}/v1` } })
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toBe('The capital of Norway is Oslo.\n')
  })

  it('serve.ts serves until SIGINT', async () => {
    await using program = new Program([example('serve.ts')], { env: { PORT: '0' } })
    const [, url = ''] = await program.waitFor(/serving at (http:\S+)\/v1/)
    const response = await fetch(`${url}/v1/models`)
    expect(await response.json()).toMatchObject({ data: [{ id: 'octavo-tiny' }] })
    program.kill('SIGINT')
    expect(await program.exitCode, program.stderr).toBe(0)
  })
})

describe('examples/parallel', () => {
  const parallel = path.dirname(createRequire(import.meta.url).resolve('@example/parallel/package.json'))

  it('ranks.ts answers from four ranks', async () => {
    await using program = new Program([path.join(parallel, 'ranks.ts')])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toMatch(/^rank 0: layers 0 to 2, 1 KV head, \d+ bytes\n(.*\n){3}47 \+ 35 = 82[.]\n$/)
  })

  it('process-group.ts adds up over threads', async () => {
    await using program = new Program([path.join(parallel, 'process-group.ts')])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toContain('sums of the stages, rank by rank: 11, 11, 1100, 1100\n')
  })
})

describe('examples/quantize-and-serve', () => {
  it('quantizes, says what it cost, serves and answers', async () => {
    const name = createRequire(import.meta.url).resolve('@example/quantize-and-serve/package.json')
    await using program = new Program([path.join(path.dirname(name), 'quantize-and-serve.ts')])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toMatch(/octavo-tiny-int4 +\| \d\.\d+ MiB/)
    expect(program.stdout).toContain('within the interval')
    expect(program.stdout).toMatch(/\nThe capital of Norway is Oslo\.\n$/)
  }, 240_000)
})
