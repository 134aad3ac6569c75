/**
 * Integer checkpoints (compressed-tensors' layout) beside GGUF files of the same shape: `npm run bench -- quantized [shape]
 * [rounds]`. int4 in groups of 32 and 128, symmetric, asymmetric and with columns in any order, beside Q4_0; int8 per channel
 * beside Q8_0. Each in a process of its own, in turn; all matrices are quantized, embedding and output layer included.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { shapes, type BenchShape } from './src/bench-shape.ts'
import { writeCompressedModel, type IntegerFormat } from './src/compressed-model.ts'
import { writeBenchModel } from './src/gguf-file.ts'
import { median } from './src/percentile.ts'

interface Measurement {
  readonly loadMs: number
  readonly prefill: Readonly<Record<string, number>>
  readonly decode: Readonly<Record<string, number>>
  readonly peakRssMb: number
}

interface Side {
  readonly name: string
  readonly reference: 'Q4_0' | 'Q8_0'
  readonly format: IntegerFormat | null
}

const folder = import.meta.dirname
const plan = { prefill: [128, 512], decode: [1, 16], promptLength: 32, numTokens: 32 }
const threads = String(availableParallelism())

const [shapeName = 'tinyllama-1.1b', rounds = '3'] = process.argv.slice(2)
const octavoTiny: BenchShape = {
  name: 'octavo-tiny',
  modelType: 'llama',
  numLayers: 5,
  hiddenSize: 256,
  intermediateSize: 512,
  numHeads: 8,
  numKvHeads: 2,
  headDim: 32,
  vocabSize: 2560,
  ropeTheta: 10_000,
  isTied: true,
}
const known: Readonly<Record<string, BenchShape>> = { ...shapes, 'octavo-tiny': octavoTiny }
const shape = known[shapeName]
if (shape === undefined) throw new Error(`Unknown shape ${shapeName}; known are ${Object.keys(known).join(', ')}.`)

const symmetric: IntegerFormat = { bits: 4, groupSize: 128, isSymmetric: true, isOrdered: false }
const sides: readonly Side[] = [
  { name: 'Q4_0', reference: 'Q4_0', format: null },
  { name: 'int4 g32', reference: 'Q4_0', format: { ...symmetric, groupSize: 32 } },
  { name: 'int4 g128', reference: 'Q4_0', format: symmetric },
  { name: 'int4 g128 asymmetric', reference: 'Q4_0', format: { ...symmetric, isSymmetric: false } },
  { name: 'int4 g128 in an order', reference: 'Q4_0', format: { ...symmetric, isSymmetric: false, isOrdered: true } },
  { name: 'Q8_0', reference: 'Q8_0', format: null },
  { name: 'int8 per channel', reference: 'Q8_0', format: { ...symmetric, bits: 8, groupSize: null } },
]

function writeModel({ name, format, reference }: Side, scratch: string): { place: string; bytes: number } {
  const place = path.join(scratch, name)
  if (format === null) {
    const file = `${place}.gguf`
    writeBenchModel(file, shape!, reference === 'Q4_0' ? 'q4_0' : 'q8_0')
    return { place: file, bytes: statSync(file).size }
  }
  writeCompressedModel(place, shape!, format)
  return { place, bytes: statSync(path.join(place, 'model.safetensors')).size }
}

function measure(model: string): Measurement {
  const output = execFileSync(process.execPath, [path.join(folder, 'octavo-run.ts'), model, threads], {
    encoding: 'utf8',
    env: { ...process.env, BENCH_PLAN: JSON.stringify(plan), BENCH_BACKEND: 'native' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Measurement
}

const scratch = mkdtempSync(path.join(tmpdir(), 'octavo-bench-'))
try {
  const models = sides.map((side) => ({ ...side, ...writeModel(side, scratch) }))
  const measured = Array.from({ length: Number(rounds) }, (_, round) => {
    const all = models.map(({ name, place }) => [name, measure(place)] as const)
    console.error(`round ${round + 1} of ${rounds} done`)
    return Object.fromEntries(all)
  })
  const middle = (name: string, of: (m: Measurement) => number): number =>
    median(measured.map((round) => of(round[name]!)))
  const rows = models.map(({ name, reference, bytes }) => {
    const rate = (of: (m: Measurement) => number): string => {
      const value = middle(name, of)
      return `${value.toFixed(1)} (${(value / middle(reference, of)).toFixed(2)})`
    }
    return [
      name,
      ...plan.prefill.map((length) => rate((m) => m.prefill[length]!)),
      ...plan.decode.map((count) => rate((m) => m.decode[count]!)),
      middle(name, (m) => m.loadMs).toFixed(0),
      (bytes / 1e6).toFixed(0),
      (middle(name, (m) => m.peakRssMb) * 1.048576).toFixed(0),
    ]
  })
  const heads = [
    `tok/s (of the GGUF file's)`,
    ...plan.prefill.map((length) => `prefill ${length}`),
    ...plan.decode.map((count) => `decode ${count}`),
    'load, ms',
    'file, MB',
    'peak RSS, MB',
  ]
  console.log(
    `${shapeName}, ${threads} threads, ${cpus()[0]?.model ?? 'unknown CPU'}, medians of ${rounds} rounds in turn`,
  )
  for (const row of [heads, heads.map(() => '---'), ...rows]) console.log(`| ${row.join(' | ')} |`)
  mkdirSync(path.join(folder, 'results'), { recursive: true })
  writeFileSync(
    path.join(folder, 'results', `quantized-${shapeName}.json`),
    `${JSON.stringify({ shape, threads, plan, rows, rounds: measured }, null, 2)}\n`,
  )
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
