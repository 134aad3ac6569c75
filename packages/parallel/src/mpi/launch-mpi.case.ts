import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { MpiLibrary } from './find-mpi-libraries.ts'

const run = promisify(execFile)

/** More ranks than processors, on nobody's processor in particular, as root in a container. */
const openMpiArguments = ['--oversubscribe', '--bind-to', 'none', '--allow-run-as-root']

/** Runs programs of the shared suite in so many processes: their results, by rank. */
export async function launchMpi(
  { kind, launcher, library }: MpiLibrary,
  programs: readonly string[],
  size: number,
): Promise<unknown[][]> {
  const folder = mkdtempSync(join(tmpdir(), 'octavo-mpi-'))
  const program = fileURLToPath(new URL('./mpi-rank.case.ts', import.meta.url))
  const rankCommand = [process.execPath, program, folder, JSON.stringify(programs)]
  try {
    const failure = await run(
      launcher!.path,
      [...(kind === 'openmpi' ? openMpiArguments : []), '-n', String(size), ...rankCommand],
      {
        timeout: 110_000,
        env: {
          ...process.env,
          MPI_LIBRARY: library,
          OMPI_MCA_btl_vader_single_copy_mechanism: 'none',
          // One host: other tests' network devices come and go while UCX looks at them.
          UCX_TLS: 'self,sm',
        },
      },
    ).then(
      () => null,
      (error: unknown) => error,
    )
    try {
      return Array.from(
        { length: size },
        (_, rank) => JSON.parse(readFileSync(join(folder, `${rank}.json`), 'utf8')) as unknown[],
      )
    } catch {
      throw new Error('not every rank left its results', { cause: failure })
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
