import { memory, setBackend } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import type { RopeScaling } from '../config/rope-config.ts'
import type { AttentionMetadata } from '../ops/attention-metadata.ts'
import { ropeFrequencies } from './rope-frequencies.ts'
import { RotaryEmbedding, ropeTable } from './rotary-embedding.ts'

beforeAll(async () => {
  await createCpuPack()
  await setBackend('cpu')
})

const longrope: RopeScaling = {
  type: 'longrope',
  shortFactors: [1, 1.1, 1.2, 1.3, 1.4, 1.5],
  longFactors: [1.5, 2, 2.5, 3, 3.5, 4],
  attentionFactor: Math.sqrt(1.5),
  originalMaxPositions: 64,
}

/** Computed with transformers 5.18 (ROPE_INIT_FUNCTIONS). */
const cases: {
  name: string
  theta: number
  rotaryDim: number
  scaling: RopeScaling
  isLong?: boolean
  inverse: number[]
}[] = [
  {
    name: 'linear',
    theta: 10_000,
    rotaryDim: 16,
    scaling: { type: 'linear', factor: 3 },
    inverse: [
      0.3333333432674408, 0.10540925711393356, 0.03333333507180214, 0.010540925897657871, 0.003333333181217313,
      0.0010540926596149802, 0.0003333333588670939, 0.0001054092645063065,
    ],
  },
  {
    name: 'llama3',
    theta: 500_000,
    rotaryDim: 16,
    scaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 64 },
    inverse: [
      1, 0.07940301299095154, 0.004700753837823868, 0.0009115831344388425, 0.00017677668074611574, 3.428102354519069e-5,
      6.647869668086059e-6, 1.289173155782919e-6,
    ],
  },
  {
    name: 'yarn with a truncated range',
    theta: 10_000,
    rotaryDim: 16,
    scaling: {
      type: 'yarn',
      factor: 4,
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
      attentionFactor: 1,
      originalMaxPositions: 1024,
    },
    inverse: [
      1, 0.3162277638912201, 0.08125000447034836, 0.019764237105846405, 0.0043750000186264515, 0.0007905694656074047,
      0.0002500000118743628, 7.905694656074047e-5,
    ],
  },
  {
    name: 'yarn without truncation',
    theta: 150_000,
    rotaryDim: 16,
    scaling: {
      type: 'yarn',
      factor: 4,
      betaFast: 32,
      betaSlow: 1,
      truncate: false,
      attentionFactor: 1,
      originalMaxPositions: 64,
    },
    inverse: [
      1, 0.11690013855695724, 0.012703318148851395, 0.0028635566122829914, 0.0006454972317442298,
      0.00014550669584423304, 3.2799827749840915e-5, 7.3936716944444925e-6,
    ],
  },
  {
    name: 'longrope, short',
    theta: 10_000,
    rotaryDim: 12,
    scaling: longrope,
    inverse: [
      1, 0.1958576887845993, 0.038679901510477066, 0.007692307699471712, 0.001538881566375494, 0.00030943931778892875,
    ],
  },
  {
    name: 'longrope, long',
    theta: 10_000,
    rotaryDim: 12,
    scaling: longrope,
    isLong: true,
    inverse: [
      0.6666666865348816, 0.1077217236161232, 0.018566353246569633, 0.0033333334140479565, 0.000615552649833262,
      0.00011603973689489067,
    ],
  },
]

describe('ropeFrequencies', () => {
  it.each(cases)(
    '$name as transformers computes it, to the last float32 bit or the one beside it',
    ({ theta, rotaryDim, scaling, isLong = false, inverse }) => {
      const { inverse: actual } = ropeFrequencies({ theta, rotaryDim, scaling }, isLong)
      expect(actual.length).toBe(inverse.length)
      inverse.forEach((expected, i) => expect(Math.abs(actual[i]! - expected)).toBeLessThanOrEqual(expected * 1.2e-7))
    },
  )
})

/** One sequence per prompt length, each computing its tokens `from` to `to`. */
function metadataOf(sequences: readonly { from: number; to: number; promptLen: number }[]): AttentionMetadata {
  const queryStartLoc = [0]
  const positions: number[] = []
  for (const { from, to } of sequences) {
    for (let position = from; position < to; position++) positions.push(position)
    queryStartLoc.push(positions.length)
  }
  return {
    numTokens: positions.length,
    numSeqs: sequences.length,
    blockSize: 16,
    queryStartLoc: Int32Array.from(queryStartLoc),
    seqLens: Int32Array.from(sequences, ({ to }) => to),
    blockTables: new Int32Array(sequences.length),
    maxBlocksPerSeq: 1,
    slotMapping: new Int32Array(positions.length),
    positions: Int32Array.from(positions),
    promptLens: Int32Array.from(sequences, ({ promptLen }) => promptLen),
  }
}

describe('RotaryEmbedding', () => {
  const rope = { theta: 10_000, rotaryDim: 12, scaling: { type: 'default' } } as const

  it('grows its table without changing the rows it has, and frees it', () => {
    const { numTensors } = memory()
    const embedding = new RotaryEmbedding(rope, 16)
    const small = embedding.prepare(metadataOf([{ from: 3, to: 5, promptLen: 5 }]))
    const before = small.table.dataSync<'float32'>().slice()
    const large = embedding.prepare(metadataOf([{ from: 3000, to: 3001, promptLen: 5 }]))
    expect(large.table.shape[0]).toBeGreaterThan(3000)
    expect(large.table.dataSync<'float32'>().subarray(0, before.length)).toEqual(before)
    expect([...large.rows]).toEqual([3000])
    const again = embedding.prepare(metadataOf([{ from: 0, to: 1, promptLen: 1 }]))
    expect(again.table).toBe(large.table)
    embedding.dispose()
    expect(memory().numTensors).toBe(numTensors)
  })

  it('rotates by cosine and sine of position times frequency', () => {
    const frequencies = ropeFrequencies(rope, false)
    const table = ropeTable([{ ...frequencies, attentionFactor: 2 }], 12, 8)
    for (let i = 0; i < 6; i++) {
      expect(table[7 * 12 + i]).toBeCloseTo(2 * Math.cos(7 * frequencies.inverse[i]!), 6)
      expect(table[7 * 12 + 6 + i]).toBeCloseTo(2 * Math.sin(7 * frequencies.inverse[i]!), 6)
    }
  })

  it('takes the long rows for prompts beyond the threshold, in every step of the sequence', () => {
    const embedding = new RotaryEmbedding({ theta: 10_000, rotaryDim: 12, scaling: longrope }, 16)
    const steps = [
      { from: 0, to: 2, promptLen: 65 },
      { from: 70, to: 72, promptLen: 64 },
      { from: 64, to: 65, promptLen: 65 },
    ]
    expect([...embedding.prepare(metadataOf(steps)).rows]).toEqual([1, 3, 140, 142, 129])
    embedding.dispose()
  })
})
