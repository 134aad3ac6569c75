import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import os from 'node:os'
import { describe, expect, it } from 'vitest'
import { findMpiLibraries } from '@octavo/parallel/executor'
import { octavo, octavoBin, Program, serveTiny } from './program.ts'

const question = 'What is 47 + 35?'
const answer = '47 + 35 = 82.\n'

const libraries = (await findMpiLibraries()).filter(({ launcher }) => launcher !== null)
const [mpi] = libraries
if (mpi === undefined) it.skip('ranks as processes: no MPI library with its launcher was found')

describe('octavo run on several ranks', () => {
  it('answers as on one: four threads', async () => {
    await using program = octavo(['run', 'octavo-tiny', question, '--tp', '2', '--pp', '2'])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toBe(answer)
  })

  it.each([
    [['--tp', '3'], /^error: --tp: 3 ranks cannot share 8 query and 2 key\/value heads evenly; use 1, 2, 4 or 8/],
    [['--pp', '9'], /^error: --pp: 9 stages cannot share 5 layers; use 1 to 5/],
    [['--ep', '2'], /^error: --ep: is 2, but the model has no experts/],
    [['--tp', '2', '--hosts', 'a,b', '--executor', 'threads'], /^error: --hosts: needs processes of their own/],
    [['--pp', '2', '--layer-split', '4,4'], /^error: --layer-split: \[4, 4\] adds up to 8 layers, but/],
  ])('%j is refused before weights are loaded', async (flags, message) => {
    await using program = octavo(['run', 'octavo-tiny', question, ...flags])
    expect(await program.exitCode).toBe(2)
    expect(program.stderr).toMatch(message)
  })
})

describe('octavo run --executor mpi', () => {
  it('says what is missing where there is no launcher', async () => {
    const flags = ['--tp', '2', '--executor', 'mpi']
    await using program = octavo(['run', 'octavo-tiny', question, ...flags], { env: { PATH: '/nowhere' } })
    expect(await program.exitCode).toBe(2)
    expect(program.stderr).toMatch(
      /^error: --executor: mpi needs Open MPI or MPICH, and mpirun or mpiexec of it on the PATH/,
    )
  })
})

/** Of the ranks that a server has started. */
function rankProcesses(serverPid: number): number[] {
  const list = execFileSync('ps', ['-e', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' })
  const rows = [...list.matchAll(/^ *(\d+) +(\d+) (.*)$/gm)].map(([, pid, parent, args = '']) => ({
    pid: Number(pid),
    parent: Number(parent),
    args,
  }))
  const below = new Set([serverPid])
  // A parent's number may be the larger one.
  for (let size = 0; size !== below.size;) {
    size = below.size
    for (const { pid, parent } of rows) if (below.has(parent)) below.add(pid)
  }
  return rows
    .filter(({ pid, args }) => below.has(pid) && /^\S*node \S*rank-process\.js$/.test(args))
    .map(({ pid }) => pid)
}

function isThere(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

describe.skipIf(mpi === undefined || process.platform !== 'linux')('octavo with ranks as processes', () => {
  it('serves, is unhealthy when one is killed, serves again, and leaves none behind', async () => {
    const { program, url } = await serveTiny(['--tp', '2', '--executor', 'mpi'])
    await using server = program
    expect(server.stderr).toMatch(/rank 1: layers 0 to 4, 1 KV head, \d/)
    const before = await textOf(url)
    const ranks = rankProcesses(server.pid)
    expect(ranks).toHaveLength(2)
    const held = complete(url, { stream: true, ignore_eos: true, max_tokens: 900 })
    const text = (await held).text()
    process.kill(ranks[1]!, 'SIGKILL')
    expect(await text).toMatch(/data: \{"error":\{"message":"The engine has failed and is started again/)
    expect((await fetch(`${url}/health`)).status).toBe(503)
    expect(server.stderr).toMatch(/rank \d \(process \d+ on .*\) failed: its control connection (was closed|broke)/)
    await server.waitFor(/the engine serves again/)
    expect((await fetch(`${url}/health`)).status).toBe(200)
    expect(await textOf(url)).toBe(before)
    const others = rankProcesses(server.pid)
    expect(others).toHaveLength(2)
    server.kill('SIGTERM')
    expect(await server.exitCode, server.stderr).toBe(0)
    await expect.poll(() => [...ranks, ...others].filter(isThere), { timeout: 5000 }).toEqual([])
  })

  it('runs as the ranks that a launcher has started', async () => {
    const flags = mpi?.kind === 'openmpi' ? ['--bind-to', 'none', '--oversubscribe'] : []
    const args = [...flags, '-n', '2', process.execPath, octavoBin, 'run', 'octavo-tiny', question, '--tp', '2']
    const env = { OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' }
    await using program = new Program(args, { env, program: mpi?.launcher?.path ?? '' })
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toBe(answer)
  })
})

const canBind = process.platform === 'linux' && os.availableParallelism() > 1
if (!canBind) it.skip('ranks bound to CPUs of their own: this needs two CPUs, and Linux')

describe.skipIf(!canBind).each(libraries)('octavo as ranks that $name binds', ({ kind, launcher }) => {
  const crowd = 'warning: 2 ranks share 1 CPU, and a step waits for the slowest of them; 1 would be faster\n'

  /** What two ranks say besides their answer. */
  async function warnings(bindTo: string, outer: readonly string[] = []): Promise<string> {
    const binding = kind === 'openmpi' ? ['--oversubscribe', '--bind-to', bindTo] : ['-bind-to', bindTo]
    const rank = [process.execPath, octavoBin, 'run', 'octavo-tiny', question, '--tp', '2']
    const [program = '', ...args] = [...outer, launcher?.path ?? '', ...binding, '-n', '2', ...rank]
    const env = { OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' }
    await using launched = new Program(args, { env, program })
    expect(await launched.exitCode, launched.stderr).toBe(0)
    expect(launched.stdout).toBe(answer)
    return launched.stderr
  }

  it('to a core each: they share none', async () => {
    expect(await warnings('core')).toBe('')
  })

  it('to nothing, both on one CPU: they share it', async () => {
    const [, first = ''] = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
    expect(await warnings('none', ['taskset', '-c', first])).toBe(crowd)
  })
})

async function textOf(url: string): Promise<unknown> {
  const { choices } = (await (await complete(url)).json()) as { readonly choices: readonly { readonly text: string }[] }
  return choices[0]?.text
}

function complete(url: string, body: Record<string, unknown> = {}): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'octavo-tiny', prompt: 'secret-word', temperature: 0, max_tokens: 4, ...body }),
  })
}
