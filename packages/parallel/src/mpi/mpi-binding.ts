import { createRequire } from 'node:module'
import type * as Koffi from 'koffi'
import { MpiLibraryError } from '../process-group-errors.ts'
import { candidateLibraries, parseMpiVersion } from './mpi-kind.ts'
import type { MpiVersion } from './mpi-kind.ts'

/** A communicator, a datatype, a request: a pointer in Open MPI, a number in MPICH. */
export type MpiHandle = bigint | number

/** Where MPI writes a handle. */
export type HandleCell = BigUint64Array | Int32Array

type Bytes = Uint8Array
type Ints = Int32Array
type Code = number

/** Values that each library's mpi.h defines otherwise. */
interface MpiConstants {
  readonly world: MpiHandle
  readonly byte: MpiHandle
  readonly errorsReturn: MpiHandle
  readonly inPlace: bigint
  readonly statusIgnore: bigint | null
  readonly anySource: number
}

/** The functions of MPI that groups need, under MPI's names; each returns 0 or an error's code. */
export interface MpiBinding extends MpiVersion, MpiConstants {
  readonly library: string
  newCell(): HandleCell
  initialized(flag: Ints): Code
  initThread(argc: null, argv: null, level: number, provided: Ints): Code
  finalize(): Code
  setErrorHandler(comm: MpiHandle, handler: MpiHandle): Code
  errorString(code: number, text: Bytes, length: Ints): Code
  commRank(comm: MpiHandle, rank: Ints): Code
  commSize(comm: MpiHandle, size: Ints): Code
  commDup(comm: MpiHandle, copy: HandleCell): Code
  commSplit(comm: MpiHandle, color: number, key: number, part: HandleCell): Code
  ibarrier(comm: MpiHandle, request: HandleCell): Code
  ibcast(bytes: Bytes, count: number, type: MpiHandle, root: number, comm: MpiHandle, request: HandleCell): Code
  iallgather: Gather
  ialltoall: Gather
  ialltoallv: Scatter
  isend: Transfer
  irecv: Transfer
  test(request: HandleCell, flag: Ints, status: bigint | null): Code
  iprobe(source: number, tag: number, comm: MpiHandle, flag: Ints, status: bigint | null): Code
}

type Gather = (
  input: Bytes | bigint,
  inputCount: number,
  inputType: MpiHandle,
  output: Bytes,
  outputCount: number,
  outputType: MpiHandle,
  comm: MpiHandle,
  request: HandleCell,
) => Code

type Scatter = (
  input: Bytes,
  inputCounts: Ints,
  inputStarts: Ints,
  inputType: MpiHandle,
  output: Bytes,
  outputCounts: Ints,
  outputStarts: Ints,
  outputType: MpiHandle,
  comm: MpiHandle,
  request: HandleCell,
) => Code

type Transfer = (
  bytes: Bytes,
  count: number,
  type: MpiHandle,
  peer: number,
  tag: number,
  comm: MpiHandle,
  request: HandleCell,
) => Code

/** The color of a rank that is in no part of a split: the same in both families. */
export const undefinedColor = -32_766
/** All calls come from the thread that initialized: the numbers are the same in both families. */
export const threadFunneled = 1

/** Opens the library that MPI_LIBRARY names, or that of this process' launcher, and learns how it wants to be called. */
export function loadMpi(candidates: readonly string[] = candidateLibraries()): MpiBinding {
  const koffi = loadKoffi()
  const refusals: string[] = []
  for (const library of candidates)
    try {
      // Open MPI's plug-ins look for its symbols among the global ones.
      return bind(koffi.load(library, { global: true }), library)
    } catch (error) {
      if (error instanceof MpiLibraryError) throw error
      refusals.push(error instanceof Error ? error.message : String(error))
    }
  throw new MpiLibraryError(
    `no MPI library could be opened (tried ${candidates.join(', ')}). Install one (Debian: apt-get install openmpi-bin libopenmpi3, or mpich), or set MPI_LIBRARY to its path. ${refusals[0] ?? ''}`,
  )
}

/** Only where it is needed: threads do without, and a platform may lack it. */
export function loadKoffi(): typeof Koffi {
  try {
    return createRequire(import.meta.url)('koffi') as typeof Koffi
  } catch (error) {
    throw new MpiLibraryError(
      `koffi, which calls MPI libraries, does not work here (${process.platform}-${process.arch}). Install @octavo/parallel with its optional parts, or use ranks that are threads.`,
      { cause: error },
    )
  }
}

/** What an open library calls itself; may be asked before it is initialized. */
export function readMpiVersion(opened: Koffi.LibraryHandle, library: string): MpiVersion {
  const text = new Uint8Array(8192)
  const length = new Int32Array(1)
  opened.func('MPI_Get_library_version', 'int', ['void *', 'void *'])(text, length)
  return parseMpiVersion(Buffer.from(text.subarray(0, length[0])).toString('latin1'), library)
}

function constantsOf({ kind }: MpiVersion, opened: Koffi.LibraryHandle): MpiConstants {
  if (kind === 'mpich')
    return {
      world: 0x44000000,
      byte: 0x4c00010d,
      errorsReturn: 0x54000001,
      inPlace: 0xffff_ffff_ffff_ffffn,
      statusIgnore: 1n,
      anySource: -2,
    }
  const symbol = (name: string) => opened.symbol(name) as bigint
  return {
    world: symbol('ompi_mpi_comm_world'),
    byte: symbol('ompi_mpi_byte'),
    errorsReturn: symbol('ompi_mpi_errors_return'),
    inPlace: 1n,
    statusIgnore: null,
    anySource: -1,
  }
}

function bind(opened: Koffi.LibraryHandle, library: string): MpiBinding {
  const version = readMpiVersion(opened, library)
  const handle = version.kind === 'openmpi' ? 'void *' : 'int'
  // A wrong type crashes instead of throwing, so each is written down once, beside the types above.
  const types: Record<string, string> = { p: 'void *', i: 'int', h: handle }
  const declare = <F>(name: string, signature: string) =>
    opened.func(
      name,
      'int',
      [...signature].map((letter) => types[letter]!),
    ) as F
  return {
    ...version,
    ...constantsOf(version, opened),
    library,
    newCell: () => (version.kind === 'openmpi' ? new BigUint64Array(1) : new Int32Array(1)),
    initialized: declare('MPI_Initialized', 'p'),
    initThread: declare('MPI_Init_thread', 'ppip'),
    finalize: declare('MPI_Finalize', ''),
    setErrorHandler: declare('MPI_Comm_set_errhandler', 'hh'),
    errorString: declare('MPI_Error_string', 'ipp'),
    commRank: declare('MPI_Comm_rank', 'hp'),
    commSize: declare('MPI_Comm_size', 'hp'),
    commDup: declare('MPI_Comm_dup', 'hp'),
    commSplit: declare('MPI_Comm_split', 'hiip'),
    ibarrier: declare('MPI_Ibarrier', 'hp'),
    ibcast: declare('MPI_Ibcast', 'pihihp'),
    iallgather: declare('MPI_Iallgather', 'pihpihhp'),
    ialltoall: declare('MPI_Ialltoall', 'pihpihhp'),
    ialltoallv: declare('MPI_Ialltoallv', 'ppphppphhp'),
    isend: declare('MPI_Isend', 'pihiihp'),
    irecv: declare('MPI_Irecv', 'pihiihp'),
    test: declare('MPI_Test', 'ppp'),
    iprobe: declare('MPI_Iprobe', 'iihpp'),
  }
}
