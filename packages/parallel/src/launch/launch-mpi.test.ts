import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { InvalidConfigError, RankFailedError } from '@octavo/core'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { findMpiLibraries } from '../mpi/find-mpi-libraries.ts'
import { resolveParallelOptions } from '../parallel-options.ts'
import { launchMpi } from './launch-mpi.ts'

const libraries = (await findMpiLibraries()).filter(({ launcher }) => launcher !== null)
if (libraries.length === 0)
  it.skip('mpi: no library with its launcher was found (Debian: apt-get install openmpi-bin libopenmpi3 mpich)')

let folder: string

/** In place of ssh: knows `elsewhere`, which is this machine, and says of others what ssh does. */
const agent = `#!/bin/sh
while [ "\${1#-}" != "$1" ]; do shift; done
if [ "$1" != elsewhere ]; then
  printf 'ssh: Could not resolve hostname %s: Name or service not known\\r\\n' "$1" >&2
  exit 255
fi
shift
exec sh -c "$*"
`

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'octavo-launch-'))
  const file = path.join(folder, 'agent.sh')
  writeFileSync(file, agent)
  chmodSync(file, 0o700)
  vi.stubEnv('OMPI_MCA_plm_rsh_agent', file)
  vi.stubEnv('HYDRA_LAUNCHER', 'ssh')
  vi.stubEnv('HYDRA_LAUNCHER_EXEC', file)
})
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true })
})

describe.skipIf(libraries.length === 0).each(libraries)('ranks of $name', ({ kind: mpi }) => {
  const configOf = (host: string) => resolveParallelOptions({ tp: 2, executor: 'mpi', mpi, hosts: ['127.0.0.1', host] })
  const events = { onMessage() {}, onLost() {} }

  it('are not started on a host that nobody knows, which is said at once', async () => {
    const startedAt = performance.now()
    const error: unknown = await launchMpi(configOf('nowhere.invalid'), events).catch((reason: unknown) => reason)
    expect(performance.now() - startedAt).toBeLessThan(5000)
    expect(error).toBeInstanceOf(InvalidConfigError)
    expect(String(error)).toMatch(
      /hosts: nowhere[.]invalid cannot be reached: "ssh: Could not resolve hostname nowhere/,
    )
  })

  it('are started on a host that only the agent knows', async () => {
    const ranks = await launchMpi(configOf('elsewhere'), events)
    expect(ranks.links).toHaveLength(2)
    await ranks.end(false)
  })
  it('are named where one dies before it has called back', async () => {
    const file = path.join(folder, 'die.mjs')
    writeFileSync(
      file,
      "if ((process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK) === '1') process.kill(process.pid, 9)",
    )
    vi.stubEnv('NODE_OPTIONS', `--import ${file}`)
    const local = resolveParallelOptions({ tp: 2, executor: 'mpi', mpi })
    const error: unknown = await launchMpi(local, events).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RankFailedError)
    // MPICH's launcher does not say which rank a process was.
    const name = mpi === 'openmpi' ? 'rank 1' : String.raw`A rank \(process \d+ on \S+\)`
    expect(String(error)).toMatch(
      new RegExp(`${name} failed before it served: \\S+ ended with code \\d+, and ranks? .* had not called back[.]`),
    )
  })
})
