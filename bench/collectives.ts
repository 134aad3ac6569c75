/**
 * What a sum over ranks costs: `npm run bench -- collectives [ranks] [rounds]`. All-reduce of float32 per backend and size, in
 * microseconds (median over all calls of rank 0) and gigabytes of the message per second, beside MPI_Allreduce of the same
 * library, which adds in an order of its own.
 */
import { execFile } from 'node:child_process'
import { availableParallelism, cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { createThreadGroup, findMpiLibraries } from '@octavo/parallel'
import type { MpiLibrary } from '@octavo/parallel'
import { messageSizes } from './src/collectives-rank.ts'
import type { RankTimes } from './src/collectives-rank.ts'
import { median } from './src/percentile.ts'

interface Contestant {
  readonly name: string
  measure(): Promise<RankTimes>
}

const program = new URL('./src/collectives-rank.ts', import.meta.url)

async function onThreads(numRanks: number): Promise<RankTimes> {
  const handle = createThreadGroup(numRanks)
  const workers = Array.from({ length: numRanks }, (_, rank) => new Worker(program, { workerData: { handle, rank } }))
  const results = await Promise.all(
    workers.map(
      (worker) =>
        new Promise<RankTimes>((resolve, reject) => {
          worker.once('message', resolve)
          worker.once('error', reject)
        }),
    ),
  )
  return results[0]!
}

/** `mode`: our groups, or the library's own all-reduce. */
async function onMpi(
  { kind, launcher, library }: MpiLibrary,
  numRanks: number,
  mode: 'group' | 'raw',
): Promise<RankTimes> {
  const flags = kind === 'openmpi' ? ['--oversubscribe', '--bind-to', 'none', '--allow-run-as-root'] : []
  const { stdout } = await promisify(execFile)(
    launcher!.path,
    [...flags, '-n', String(numRanks), process.execPath, fileURLToPath(program), mode],
    { env: { ...process.env, MPI_LIBRARY: library, UCX_TLS: 'self,sm' }, maxBuffer: 1 << 26 },
  )
  return JSON.parse(stdout) as RankTimes
}

async function main(numRanks: number, numRounds: number): Promise<void> {
  const libraries = (await findMpiLibraries()).filter(({ launcher }) => launcher !== null)
  const contestants: Contestant[] = [
    { name: 'threads', measure: () => onThreads(numRanks) },
    ...libraries.flatMap((library) => [
      { name: `${library.name} ${library.version}`, measure: () => onMpi(library, numRanks, 'group') },
      { name: 'its MPI_Allreduce', measure: () => onMpi(library, numRanks, 'raw') },
    ]),
  ]
  const times = contestants.map(() => messageSizes.map(() => [] as number[]))
  // Taking turns: what disturbs the machine for a while disturbs all.
  for (let round = 0; round < numRounds; round++)
    for (const [i, contestant] of contestants.entries())
      for (const [j, ofSize] of (await contestant.measure()).entries()) times[i]![j]!.push(...ofSize)
  console.log(`${numRanks} ranks, ${availableParallelism()} CPUs (${cpus()[0]?.model}), ${numRounds} rounds\n`)
  console.log(`| all-reduce | ${contestants.map(({ name }) => name).join(' | ')} |`)
  console.log(`| --- |${' --- |'.repeat(contestants.length)}`)
  for (const [j, size] of messageSizes.entries())
    console.log(`| ${nameSize(size)} | ${times.map((ofSizes) => describe(median(ofSizes[j]!), size)).join(' | ')} |`)
}

function describe(microseconds: number, size: number): string {
  const rounded = microseconds < 100 ? microseconds.toFixed(1) : microseconds.toFixed(0)
  return size < 2 ** 20 ? rounded : `${rounded} (${(size / microseconds / 1000).toFixed(1)} GB/s)`
}

function nameSize(size: number): string {
  if (size < 1024) return `${size} B`
  return size < 2 ** 20 ? `${size / 1024} KB` : `${size / 2 ** 20} MB`
}

await main(Number(process.argv[2] ?? 2), Number(process.argv[3] ?? 3))
