/**
 * Octavo and node-llama-cpp on the same file, in turn, three rounds, medians: `npm run bench -- llama-cpp [shape] [format]`.
 *
 * The model has a real shape and random weights. Each engine runs in a process of its own with as many threads as the
 * machine has processors. Decode rates are tokens of all sequences together, without the prompts. Of Octavo, tokens that
 * come before every sequence has its first one are not counted in the time, so that both sides measure pure decoding.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { type BenchFormat, shapes, writeBenchModel } from './gguf-file.ts'

interface Measurement {
  readonly loadMs: number
  readonly prefill: Readonly<Record<string, number>>
  readonly decode: Readonly<Record<string, number>>
  readonly peakRssMb: number
}

const folder = import.meta.dirname
const plan = { prefill: [128, 512, 2048], decode: [1, 4, 8, 16, 32], promptLength: 32, numTokens: 32 }
const numRounds = 3
const threads = String(availableParallelism())

const [shapeName = 'tinyllama-1.1b', format = 'q8_0'] = process.argv.slice(2)
const shape = shapes[shapeName]
if (shape === undefined) throw new Error(`Unknown shape ${shapeName}; known are ${Object.keys(shapes).join(', ')}.`)

if (!existsSync(path.join(folder, 'peers', 'node_modules'))) {
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: path.join(folder, 'peers'),
    stdio: 'inherit',
  })
}
const scratch = mkdtempSync(path.join(tmpdir(), 'octavo-bench-'))
const model = path.join(scratch, `${shapeName}-${format}.gguf`)

function measure(args: readonly string[]): Measurement {
  const output = execFileSync(process.execPath, [...args, model, threads], {
    encoding: 'utf8',
    env: { ...process.env, BENCH_PLAN: JSON.stringify(plan), NODE_LLAMA_CPP_SKIP_DOWNLOAD: 'true' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Measurement
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

try {
  writeBenchModel(model, shape, format as BenchFormat)
  const rounds = Array.from({ length: numRounds }, (_, round) => {
    const octavo = measure([path.join(folder, 'octavo-run.ts')])
    const peer = measure([path.join(folder, 'peers', 'llama-cpp.mjs')])
    console.error(`round ${round + 1} of ${numRounds} done`)
    return { octavo, peer }
  })
  const row = (name: string, of: (m: Measurement) => number): { name: string; octavo: number; peer: number } => ({
    name,
    octavo: median(rounds.map(({ octavo }) => of(octavo))),
    peer: median(rounds.map(({ peer }) => of(peer))),
  })
  const rows = [
    ...plan.prefill.map((length) => row(`prefill ${length}, tok/s`, (m) => m.prefill[length] ?? Number.NaN)),
    ...plan.decode.map((count) => row(`decode ${count}, tok/s`, (m) => m.decode[count] ?? Number.NaN)),
    row('load, ms', (m) => m.loadMs),
    row('peak RSS, MB', (m) => m.peakRssMb),
  ]
  console.log(
    `${shapeName} ${format}, ${threads} threads, ${cpus()[0]?.model ?? 'unknown CPU'}, medians of ${numRounds} rounds`,
  )
  console.log('| | Octavo | node-llama-cpp | ratio |\n|---|---|---|---|')
  for (const { name, octavo, peer } of rows)
    console.log(`| ${name} | ${octavo.toFixed(1)} | ${peer.toFixed(1)} | ${(octavo / peer).toFixed(2)} |`)
  mkdirSync(path.join(folder, 'results'), { recursive: true })
  writeFileSync(
    path.join(folder, 'results', `llama-cpp-${shapeName}-${format}.json`),
    `${JSON.stringify({ shape, format, threads, plan, rows, rounds }, null, 2)}\n`,
  )
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
