import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { type BenchFormat, type BenchShape, shapes, smokeShape, weightBlocks } from './bench-shape.ts'
import { type KnownEngine, knownEngines } from './engine-list.ts'
import type { SpeedPlan } from './measure-speed.ts'
import { count, counts, pick } from './parse-flags.ts'
import type { ServingPlan } from './run-serving.ts'

export interface CompareOptions {
  readonly shapes: readonly BenchShape[]
  readonly formats: readonly BenchFormat[]
  readonly engines: readonly KnownEngine[]
  readonly threads: number
  readonly numRounds: number
  readonly hasSpeed: boolean
  readonly hasServing: boolean
  readonly speedPlan: SpeedPlan
  readonly servingPlan: ServingPlan
  readonly resultsFolder: string
}

const flags = {
  shape: { type: 'string', default: 'tinyllama-1.1b' },
  format: { type: 'string', default: 'q8_0' },
  engines: { type: 'string', default: 'all' },
  threads: { type: 'string', default: String(availableParallelism()) },
  only: { type: 'string', default: '' },
  prefill: { type: 'string', default: '128,512,2048' },
  decode: { type: 'string', default: '1,4,8,16,32' },
  rounds: { type: 'string', default: '3' },
  requests: { type: 'string', default: '24' },
  sequences: { type: 'string', default: '32' },
  'ttft-ms': { type: 'string', default: '5000' },
  points: { type: 'string', default: '6' },
  seed: { type: 'string', default: '1' },
  out: { type: 'string', default: path.join(import.meta.dirname, '..', 'results') },
  smoke: { type: 'boolean', default: false },
} as const

const lengths = { promptLengths: { min: 32, max: 512 }, outputLengths: { min: 16, max: 128 } }

/** @throws Error naming the flag, its value and what is known */
export function parseCompareOptions(args: readonly string[]): CompareOptions {
  const { values } = parseArgs({ args: [...args], options: flags })
  const { smoke, only } = values
  if (!['', 'speed', 'serving'].includes(only)) throw new Error(`--only must be speed or serving, got ${only}.`)
  return {
    shapes: smoke ? [smokeShape] : pick('shape', values.shape, Object.entries(shapes)),
    formats: pick('format', values.format, formatEntries),
    engines: pick(
      'engines',
      values.engines,
      knownEngines.map((engine) => [engine.name, engine]),
    ),
    threads: count('threads', values.threads),
    numRounds: smoke ? 1 : count('rounds', values.rounds),
    resultsFolder: smoke ? path.join(tmpdir(), 'octavo-bench-smoke') : path.resolve(values.out),
    hasSpeed: only !== 'serving',
    hasServing: only !== 'speed',
    speedPlan: {
      prefill: counts('prefill', smoke ? '128' : values.prefill),
      decode: counts('decode', smoke ? '1,4' : values.decode),
      promptLength: 32,
      numTokens: 32,
    },
    servingPlan: {
      ...lengths,
      seed: count('seed', values.seed),
      numRequests: smoke ? 8 : count('requests', values.requests),
      numSeqs: count('sequences', values.sequences),
      maxTtftMs: smoke ? 300 : count('ttft-ms', values['ttft-ms']),
      maxPoints: smoke ? 3 : count('points', values.points),
    },
  }
}

const formatEntries = (Object.keys(weightBlocks) as BenchFormat[]).map((format) => [format, format] as const)
