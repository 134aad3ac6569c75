/** Opens the MPI library that the first argument names and prints what it is, as JSON; ends with 1 where it cannot. */
import { readFileSync } from 'node:fs'
import { loadKoffi, readMpiVersion } from './mpi-binding.ts'

const [, , library = ''] = process.argv
try {
  const koffi = loadKoffi()
  const before = new Set(mappedFiles())
  const version = readMpiVersion(koffi.load(library), library)
  const path = mappedFiles().find((file) => !before.has(file) && /\/lib\w*mpi\w*[.]/.test(file)) ?? null
  process.stdout.write(JSON.stringify({ ...version, library, path }))
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}

/** Files in this process' memory; Linux alone says. */
function mappedFiles(): string[] {
  try {
    return readFileSync('/proc/self/maps', 'utf8')
      .split('\n')
      .map((line) => line.slice(line.indexOf('/')))
  } catch {
    return []
  }
}
