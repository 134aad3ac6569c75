import { describe, expect, it } from 'vitest'
import { candidateLibraries, launcherKind, parseMpiVersion } from './mpi-kind.ts'

describe('parseMpiVersion', () => {
  it.each([
    ['Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4', { kind: 'openmpi', name: 'Open MPI', version: '4.1.4' }],
    ['Open MPI v5.0.3rc1, package: x', { kind: 'openmpi', name: 'Open MPI', version: '5.0.3rc1' }],
    ['MPICH Version:\t4.0.2\nMPICH Release date:\tThu', { kind: 'mpich', name: 'MPICH', version: '4.0.2' }],
    ['Intel(R) MPI Library 2021.10 for Linux* OS\n', { kind: 'mpich', name: 'Intel MPI', version: '2021.10' }],
    ['MVAPICH2 Version      :\t2.3.7\nMVAPICH2 Release', { kind: 'mpich', name: 'MVAPICH', version: '2.3.7' }],
    ['MPI VERSION    : CRAY MPICH version 8.1.28 (ANL', { kind: 'mpich', name: 'Cray MPICH', version: '8.1.28' }],
  ])('%s', (text, expected) => {
    expect(parseMpiVersion(text, 'libmpi.so')).toEqual(expected)
  })

  it('refuses others by the name that they give themselves', () => {
    expect(() => parseMpiVersion('LAM/MPI 7.1.4\nmore', 'liblam.so')).toThrow('liblam.so calls itself "LAM/MPI 7.1.4"')
  })
})

describe('candidateLibraries', () => {
  it("is the launcher's library, or what MPI_LIBRARY says", () => {
    expect(candidateLibraries({ OMPI_COMM_WORLD_SIZE: '2' })[0]).toBe('libmpi.so.40')
    expect(candidateLibraries({ PMI_RANK: '0' })[0]).toBe('libmpich.so.12')
    expect(candidateLibraries({ OMPI_COMM_WORLD_SIZE: '2', MPI_LIBRARY: '/opt/libmpi.so' })).toEqual(['/opt/libmpi.so'])
    expect(candidateLibraries({})).toEqual(expect.arrayContaining(['libmpi.so.40', 'libmpich.so.12']))
  })

  it("knows whose launcher it was; Open MPI's sets PMIX_RANK, too", () => {
    expect(launcherKind({ PMIX_RANK: '0' })).toBe('openmpi')
    expect(launcherKind({ PMI_SIZE: '2' })).toBe('mpich')
    expect(launcherKind({})).toBeNull()
  })
})
