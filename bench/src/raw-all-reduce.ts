import { candidateLibraries } from '@octavo/parallel'
import koffi from 'koffi'

export interface RawAllReduce {
  readonly rank: number
  allReduce(buffer: Float32Array): void
  finalize(): void
}

type MpiFunction = (...values: unknown[]) => number

/** MPI_Allreduce as it is, in place, of the library that launched this process. */
export function createRawAllReduce(): RawAllReduce {
  const library = koffi.load(candidateLibraries()[0]!, { global: true })
  const isOpenMpi = candidateLibraries()[0]!.startsWith('libmpi.')
  const handle = isOpenMpi ? 'void *' : 'int'
  const [world, float, sum] = isOpenMpi
    ? ['ompi_mpi_comm_world', 'ompi_mpi_float', 'ompi_mpi_op_sum'].map((name) => library.symbol(name) as bigint)
    : [0x44000000, 0x4c00040a, 0x58000003]
  const inPlace = isOpenMpi ? 1n : 0xffff_ffff_ffff_ffffn
  const declare = (name: string, ...types: string[]): MpiFunction => library.func(name, 'int', types)
  declare('MPI_Init', 'void *', 'void *')(null, null)
  const rank = new Int32Array(1)
  declare('MPI_Comm_rank', handle, 'void *')(world, rank)
  const allReduce = declare('MPI_Allreduce', 'void *', 'void *', 'int', handle, handle, handle)
  const finalize = declare('MPI_Finalize')
  return {
    rank: rank[0]!,
    allReduce: (buffer) => void allReduce(inPlace, buffer, buffer.length, float, sum, world),
    finalize: () => void finalize(),
  }
}
