import { InvalidConfigError } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { checkIdentities } from './check-identities.ts'

const same = { version: '1.0.0, core 1.0.0', checkpoint: 'abc', mpiLibrary: 'Open MPI 4.1.4' }
const links = [{ name: 'rank 0' }, { name: 'rank 1 (process 7 on h1)' }]

describe('ranks that work together', () => {
  it('are the same in what counts', () => {
    expect(() => checkIdentities([same, same], links)).not.toThrow()
  })

  it.each([
    [
      'version',
      { version: '1.0.1, core 1.0.1' },
      'Octavo is not the same on all ranks: rank 0 has 1.0.0, core 1.0.0, rank 1 (process 7 on h1) has 1.0.1, core 1.0.1',
    ],
    ['checkpoint', { checkpoint: 'def' }, 'the checkpoint is not the same on all ranks: rank 0 has abc'],
    [
      'mpiLibrary',
      { mpiLibrary: 'MPICH 4.0.2' },
      'the MPI library is not the same on all ranks: rank 0 has Open MPI 4.1.4',
    ],
  ])('are refused with different %s', (_, other, message) => {
    expect(() => checkIdentities([same, { ...same, ...other }], links)).toThrow(InvalidConfigError)
    expect(() => checkIdentities([same, { ...same, ...other }], links)).toThrow(message)
  })
})
