import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { type BenchFormat, type BenchShape, shapes, smokeShape, weightBlocks } from './bench-shape.ts'
import { count, counts, pick, pickOne } from './parse-flags.ts'

export const parallelParts = ['speed', 'memory', 'collectives'] as const

export type ParallelPart = (typeof parallelParts)[number]

export interface ParallelBenchOptions {
  readonly shape: BenchShape
  readonly format: BenchFormat
  readonly parts: readonly ParallelPart[]
  /** Of all ranks together. */
  readonly threads: number
  readonly numRounds: number
  /** Whether ranks as processes are measured, too, with every MPI library that is found. */
  readonly hasMpi: boolean
  /** Lengths of prompts, and numbers of sequences. */
  readonly prefill: readonly number[]
  readonly decode: readonly number[]
  /** The same for the pipeline. */
  readonly pipelinePrefill: readonly number[]
  readonly pipelineDecode: readonly number[]
  /** Layers of each stage; `null` = balanced by what a decoded token costs. */
  readonly layerSplit: readonly number[] | null
  /** Tokens of each sequence. */
  readonly numTokens: number
  readonly resultsFolder: string
}

const flags = {
  shape: { type: 'string', default: 'tinyllama-1.1b' },
  format: { type: 'string', default: 'q8_0' },
  only: { type: 'string', default: 'all' },
  threads: { type: 'string', default: String(availableParallelism()) },
  rounds: { type: 'string', default: '3' },
  'no-mpi': { type: 'boolean', default: false },
  prefill: { type: 'string', default: '128,512' },
  decode: { type: 'string', default: '1,4,16' },
  'pipeline-prefill': { type: 'string', default: '256,512,1024' },
  'pipeline-decode': { type: 'string', default: '2,4,16' },
  'layer-split': { type: 'string' },
  out: { type: 'string', default: path.join(import.meta.dirname, '..', 'results') },
  smoke: { type: 'boolean', default: false },
} as const

const formats = Object.keys(weightBlocks) as BenchFormat[]

/** @throws Error naming the flag, its value and what is known */
export function parseParallelOptions(args: readonly string[]): ParallelBenchOptions {
  const { values } = parseArgs({ args: [...args], options: flags })
  const { smoke } = values
  return {
    shape: smoke ? smokeShape : pickOne('shape', values.shape, Object.entries(shapes)),
    format: pickOne('format', values.format, nameItself(formats)),
    parts: pick('only', values.only, nameItself(parallelParts)),
    threads: count('threads', values.threads),
    numRounds: smoke ? 1 : count('rounds', values.rounds),
    hasMpi: !values['no-mpi'],
    prefill: counts('prefill', smoke ? '128' : values.prefill),
    decode: counts('decode', smoke ? '1,4' : values.decode),
    pipelinePrefill: counts('pipeline-prefill', smoke ? '256' : values['pipeline-prefill']),
    pipelineDecode: counts('pipeline-decode', smoke ? '4' : values['pipeline-decode']),
    layerSplit: values['layer-split'] === undefined ? null : counts('layer-split', values['layer-split']),
    numTokens: smoke ? 8 : 32,
    resultsFolder: smoke ? path.join(tmpdir(), 'octavo-bench-smoke') : path.resolve(values.out),
  }
}

function nameItself<T extends string>(names: readonly T[]): (readonly [T, T])[] {
  return names.map((name) => [name, name] as const)
}
