import { expect, it } from 'vitest'
import { formatMpi } from './format-mpi.ts'

it('names libraries and launchers, or what to do', () => {
  const openMpi = { kind: 'openmpi', name: 'Open MPI', version: '4.1.4', library: 'libmpi.so.40' } as const
  const mpich = { kind: 'mpich', name: 'MPICH', version: '4.0.2', library: 'libmpich.so.12' } as const
  expect(
    formatMpi([
      { ...openMpi, path: '/lib/libmpi.so.40', launcher: { path: '/bin/mpirun', version: '4.1.4' } },
      { ...mpich, path: null, launcher: null },
    ]),
  ).toBe(
    'Open MPI 4.1.4 (/lib/libmpi.so.40), started by /bin/mpirun; MPICH 4.0.2 (libmpich.so.12), without a launcher on the PATH',
  )
  expect(formatMpi([])).toMatch(/^none: install Open MPI or MPICH/)
})
