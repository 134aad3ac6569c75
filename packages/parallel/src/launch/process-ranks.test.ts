import { describe, expect, it } from 'vitest'
import { parseCpuMask } from '../rank/cpu-mask.ts'
import type { Hello } from '../rank/hello.ts'
import { crowdAround } from './process-ranks.ts'

function helloOf(host: string, cpus: string | null, numCpus: number): Hello {
  return { host, pid: 1, numCpus, cpus: cpus === null ? null : parseCpuMask(`Cpus_allowed_list:\t${cpus}`) }
}

function crowds(hellos: readonly Hello[]): [numLocal: number, numOnCpus: number, numCpus: number][] {
  return hellos.map((hello) => {
    const { share, numCpus } = crowdAround(hello, hellos)
    return [share.numLocalWorkers, share.numCpuWorkers, numCpus]
  })
}

describe('what ranks of a host share', () => {
  it('is nothing but memory where each is bound to CPUs of its own', () => {
    expect(crowds([helloOf('a', '0', 1), helloOf('a', '1', 1)])).toEqual([
      [2, 1, 1],
      [2, 1, 1],
    ])
  })

  it('is the CPUs too where they are bound to the same, or to none, or nothing is known', () => {
    const shared = [
      [2, 2, 4],
      [2, 2, 4],
    ]
    expect(crowds([helloOf('a', '0-3', 4), helloOf('a', '0-3', 4)])).toEqual(shared)
    expect(crowds([helloOf('a', null, 4), helloOf('a', null, 4)])).toEqual(shared)
    expect(crowds([helloOf('a', '0-3', 4), helloOf('a', null, 4)])).toEqual(shared)
  })

  it('is counted by socket, with the rank that is on both', () => {
    const hellos = [helloOf('a', '0-1', 2), helloOf('a', '0-1', 2), helloOf('a', '2-3', 2), helloOf('a', '0-3', 4)]
    expect(crowds(hellos)).toEqual([
      [4, 3, 4],
      [4, 3, 4],
      [4, 2, 4],
      [4, 4, 4],
    ])
  })

  it('is nothing between hosts, whose CPUs have the same numbers', () => {
    expect(crowds([helloOf('a', '0-1', 2), helloOf('b', '0-1', 2)])).toEqual([
      [1, 1, 2],
      [1, 1, 2],
    ])
  })
})
