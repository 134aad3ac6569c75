import { InvalidConfigError, RankFailedError } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { launchFailure, unreachedHost } from './launcher-words.ts'

const hosts = ['h0', 'Worker.example.org', '10.0.0.7']
const how = 'mpirun ended with code 137'

describe('what is said of a host', () => {
  it.each([
    ['ssh: Could not resolve hostname worker: Name or service not known\r\n', 'Worker.example.org'],
    [
      'x\nssh: Could not resolve hostname worker.example.org: Temporary failure in name resolution\r\n',
      'Worker.example.org',
    ],
    ['ssh: connect to host 10.0.0.7 port 22: Connection refused\r\n', '10.0.0.7'],
    ['me@h0: Permission denied (publickey).\r\n', 'h0'],
    ['Host key verification failed.\r\n', 'one of h0, Worker.example.org, 10.0.0.7'],
  ])('%j: that %s cannot be reached', (said, host) => {
    const error = unreachedHost(said, 'mpich', hosts)
    expect(error).toBeInstanceOf(InvalidConfigError)
    expect(error?.message).toContain(`hosts: ${host} cannot be reached: "${said.trim().split('\n').at(-1)}". `)
    expect(error?.message).toMatch(/"ssh \S+ true" works without a password, .* by HYDRA_LAUNCHER_EXEC$/)
  })

  it('is nothing where a line has not ended, or another program speaks', () => {
    expect(unreachedHost('ssh: Could not resolve hostname h0: Name or', 'mpich', hosts)).toBeNull()
    expect(unreachedHost('agent: Could not resolve hostname h0: not here\n', 'mpich', hosts)).toBeNull()
    expect(unreachedHost('', 'openmpi', hosts)).toBeNull()
  })
})

describe('a launch that failed', () => {
  it.each([
    'mpirun noticed that process rank 1 with PID 0 on node vm exited on signal 9 (Killed).',
    'The first process to do so was:\n\n  Process name: [[16922,1],1]\n  Exit code:    3',
    'The first process to do so was:\n\n  Process name: [prterun-vm-26125@1,1]\n  Exit code:    3',
  ])('names the rank that Open MPI names: %j', (said) => {
    const error = launchFailure(how, { said, missing: [1] })
    expect(error).toBeInstanceOf(RankFailedError)
    expect(error).toMatchObject({
      rank: 1,
      message: `rank 1 failed before it served: ${how}, and rank 1 had not called back.\n${said}`,
    })
  })

  it('names the process that MPICH names', () => {
    const said =
      '=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES\n=   PID 8080 RUNNING AT vm\n=   EXIT CODE: 9'
    const message = `A rank (process 8080 on vm) failed before it served: ${how}, and rank 1 had not called back.\n${said}`
    expect(launchFailure(how, { said, missing: [1] })).toMatchObject({ rank: null, message })
  })

  it('names none where nobody does', () => {
    const message = `The ranks could not be started: ${how}, and ranks 0, 1 had not called back.`
    expect(launchFailure(how, { said: '', missing: [0, 1] })).toMatchObject({ rank: null, message })
  })
})
