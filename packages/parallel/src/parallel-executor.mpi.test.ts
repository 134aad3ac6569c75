import { describe, it } from 'vitest'
import { findMpiLibraries } from './mpi/find-mpi-libraries.ts'
import { expectGoldenTokens, expectGrammars, expectSharedKQuants, expectVectors } from './parallel-executor.case.ts'

const libraries = (await findMpiLibraries()).filter(({ launcher }) => launcher !== null)

if (libraries.length === 0)
  it.skip('mpi: no library with its launcher was found (Debian: apt-get install openmpi-bin libopenmpi3 mpich)')

describe.skipIf(libraries.length === 0).each(libraries)('ranks as processes of $name', ({ kind: mpi }) => {
  it('give the golden tokens: attention and experts shared, in two stages', async () => {
    await expectGoldenTokens('models/mixtral', { tp: 2, ep: 2, pp: 2, executor: 'mpi', mpi })
  })

  it('share K-quants', () => expectSharedKQuants({ executor: 'mpi', mpi }))

  it('give the vectors of one rank', () => expectVectors('models/qwen3-seqcls', { pp: 2, executor: 'mpi', mpi }))

  it('hold outputs to grammars', () => expectGrammars({ tp: 2, executor: 'mpi', mpi }))
})
