/**
 * One model over two ranks beside one rank with as many threads together, in the same run: `npm run bench -- parallel`.
 * README.md has the flags and what is measured.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import path from 'node:path'
import { findMpiLibraries } from '@octavo/parallel'
import { type Contestant, contestantsOf } from './src/contestants.ts'
import { ModelFiles } from './src/model-files.ts'
import { parseParallelOptions } from './src/parallel-options.ts'
import { type MemoryColumn, memoryTable, pipelineTable, type SpeedColumn, tensorTable } from './src/parallel-tables.ts'
import { measureContestant, measureMemory, type Measurements, type RunOptions } from './src/run-contestants.ts'

// An end by a signal is an end, too: models are gigabytes.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))

const options = parseParallelOptions(process.argv.slice(2))
const { shape, format, threads, numRounds, numTokens, parts } = options
const name = `${shape.name}-${format}`

async function measureSpeeds(contestants: readonly Contestant[], run: RunOptions): Promise<SpeedColumn[]> {
  const rounds = contestants.map((): Measurements[] => [])
  // Taking turns: what disturbs the machine for a while disturbs all.
  for (let round = 1; round <= numRounds; round++)
    for (const [i, contestant] of contestants.entries()) {
      console.error(`Round ${round} of ${numRounds}: ${contestant.label}`)
      rounds[i]?.push(await measureContestant(contestant, run))
    }
  return contestants.map((contestant, i) => ({ contestant, rounds: rounds[i] ?? [] }))
}

async function measureMemories(contestants: readonly Contestant[], run: RunOptions): Promise<MemoryColumn[]> {
  const columns: MemoryColumn[] = []
  for (const contestant of contestants) {
    console.error(`Memory: ${contestant.label}`)
    columns.push({ contestant, peaks: await measureMemory(contestant, run) })
  }
  return columns
}

async function main(): Promise<void> {
  const machine = `${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${availableParallelism()} CPUs, ${threads} threads`
  console.error(`${name}: writes the model`)
  using files = new ModelFiles({ shape, format })
  const run: RunOptions = { files, threads, numTokens }
  const libraries = options.hasMpi ? (await findMpiLibraries()).filter(({ launcher }) => launcher !== null) : []
  const contestants = contestantsOf(options, libraries)
  const speed = parts.includes('speed') ? await measureSpeeds(contestants, run) : []
  const memory = parts.includes('memory') ? await measureMemories(contestants, run) : []
  console.log(`\n${name}; ${machine}; medians of ${numRounds} rounds, ratios to 1 rank in brackets\n`)
  const tables = [
    ...(speed.length > 0 ? [tensorTable(speed), pipelineTable(speed)] : []),
    ...(memory.length > 0 ? [memoryTable(memory)] : []),
  ]
  for (const table of tables) console.log(`${table}\n`)
  if (parts.includes('collectives')) {
    const program = path.join(import.meta.dirname, 'collectives.ts')
    execFileSync(process.execPath, [program, '2', '1'], { stdio: 'inherit' })
  }
  mkdirSync(options.resultsFolder, { recursive: true })
  const file = path.join(options.resultsFolder, `parallel-${name}.json`)
  writeFileSync(file, `${JSON.stringify({ machine, measuredAt: new Date().toISOString(), speed, memory }, null, 2)}\n`)
  console.error(`wrote ${file}`)
}

await main()
