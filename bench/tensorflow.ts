/**
 * Octavo on TensorFlow beside the same model in TensorFlow.js's public ops on the same backend, and beside Octavo's native
 * backend, in turn: `npm run bench -- tensorflow [shape] [rounds]`. Needs a linked TensorFlow (docs/tensorflow.md).
 *
 * All three compute in float32 with random weights, each in a process of its own. Decode rates are tokens of all sequences
 * together behind 1024 tokens of context, without the prompts.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { shapes } from './src/bench-shape.ts'
import { writeBenchModel } from './src/gguf-file.ts'

interface Measurement {
  readonly prefill: Readonly<Record<string, number>>
  readonly decode: Readonly<Record<string, number>>
}

const folder = import.meta.dirname
const plan = { prefill: [128, 512], decode: [1, 4, 16], promptLength: 1024, numTokens: 8 }
const threads = String(availableParallelism())

const [shapeName = 'smollm2-135m', rounds = '3'] = process.argv.slice(2)
const shape = shapes[shapeName]
if (shape === undefined) throw new Error(`Unknown shape ${shapeName}; known are ${Object.keys(shapes).join(', ')}.`)
const scratch = mkdtempSync(path.join(tmpdir(), 'octavo-bench-'))
const model = path.join(scratch, `${shapeName}.gguf`)

function measure(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Measurement {
  const output = execFileSync(process.execPath, [path.join(folder, program), ...args], {
    encoding: 'utf8',
    env: {
      ...process.env,
      BENCH_PLAN: JSON.stringify(plan),
      BENCH_KV_MEMORY: '1GiB',
      BENCH_DTYPE: 'float32',
      TF_CPP_MIN_LOG_LEVEL: '2',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Measurement
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

try {
  writeBenchModel(model, shape, 'bf16')
  const measured = Array.from({ length: Number(rounds) }, (_, round) => {
    const octavo = measure('octavo-run.ts', [model, threads], { BENCH_BACKEND: 'tensorflow' })
    const tfjs = measure('tfjs-run.ts', [shapeName])
    const native = measure('octavo-run.ts', [model, threads], { BENCH_BACKEND: 'native' })
    console.error(`round ${round + 1} of ${rounds} done`)
    return { octavo, tfjs, native }
  })
  const names = ['octavo', 'tfjs', 'native'] as const
  const row = (name: string, of: (m: Measurement) => number): { name: string; values: number[] } => ({
    name,
    values: names.map((side) => median(measured.map((round) => of(round[side])))),
  })
  const rows = [
    ...plan.prefill.map((length) => row(`prefill ${length}, tok/s`, (m) => m.prefill[length] ?? Number.NaN)),
    ...plan.decode.map((count) => row(`decode ${count}, tok/s`, (m) => m.decode[count] ?? Number.NaN)),
  ]
  console.log(
    `${shapeName} float32, ${threads} threads, ${cpus()[0]?.model ?? 'unknown CPU'}, medians of ${rounds} rounds in turn`,
  )
  console.log('| | Octavo, tensorflow | tfjs ops, tensorflow | ratio | Octavo, native |\n|---|---|---|---|---|')
  for (const { name, values } of rows) {
    const [octavo = Number.NaN, tfjs = Number.NaN, native = Number.NaN] = values
    console.log(
      `| ${name} | ${octavo.toFixed(1)} | ${tfjs.toFixed(1)} | ${(octavo / tfjs).toFixed(1)} | ${native.toFixed(1)} |`,
    )
  }
  mkdirSync(path.join(folder, 'results'), { recursive: true })
  writeFileSync(
    path.join(folder, 'results', `tensorflow-${shapeName}.json`),
    `${JSON.stringify({ shape, threads, plan, rows, rounds: measured }, null, 2)}\n`,
  )
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
