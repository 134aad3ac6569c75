import { describe, expect, it } from 'vitest'
import { launcherArguments } from './launcher-command.ts'

const command = ['node', 'rank.js']
const options = { worldSize: 4, command, variables: ['OCTAVO_A', 'HF_B'] }

describe("a launcher's arguments", () => {
  it('of Open MPI: neighbours on one host, no cores chosen, variables passed on', () => {
    expect(launcherArguments('openmpi', { ...options, hosts: null }).join(' ')).toBe(
      '-n 4 --bind-to none --oversubscribe -x OCTAVO_A -x HF_B node rank.js',
    )
    expect(launcherArguments('openmpi', { ...options, hosts: ['h0', 'h1'] })).toEqual(
      expect.arrayContaining(['--host', 'h0:2,h1:2']),
    )
  })

  it('of MPICH', () => {
    expect(launcherArguments('mpich', { ...options, hosts: null }).join(' ')).toBe('-n 4 -bind-to none node rank.js')
    expect(launcherArguments('mpich', { ...options, hosts: ['h0', 'h1'] }).join(' ')).toBe(
      '-hosts h0,h1 -ppn 2 -n 4 -bind-to none node rank.js',
    )
  })
})
