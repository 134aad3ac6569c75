import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import type { CalibrationSequence } from '../calibration/calibration-batch.ts'
import type { LayerPass } from '../decoder-layer.ts'
import { pipeline } from '../pipeline/pipeline.ts'
import { temporaryFolder } from '../pipeline/saved-models.case.ts'
import { divergence, heldOutSequences, logProbabilities, tinyCalibration, tinyModel } from './divergence.case.ts'
import { gptq } from './gptq-pass.ts'
import { roundToNearest } from './round-to-nearest-pass.ts'

let sequences: readonly CalibrationSequence[]
let original: readonly Float64Array[]

beforeAll(async () => {
  sequences = await heldOutSequences(24)
  original = await logProbabilities(tinyModel, sequences)
})

async function divergenceAfter(pass: LayerPass): Promise<number> {
  const target = join(temporaryFolder(), 'saved')
  const options = { backend: 'wasm', calibration: { data: tinyCalibration, numSamples: 64 } }
  await pipeline(tinyModel, options).apply(pass).save(target)
  return divergence(original, await logProbabilities(target, sequences))
}

// What four bits in groups lose is little, so that there GPTQ has little to make up for.
it.each([
  { bits: 4, groupSize: 'channel', share: 0.7 },
  { bits: 4, groupSize: 32, share: 1 },
  { bits: 3, groupSize: 32, share: 1 },
] as const)(
  'int$bits, $groupSize: GPTQ loses no more than $share of what rounding loses',
  async ({ share, ...scheme }) => {
    const rounded = await divergenceAfter(roundToNearest(scheme))
    const solved = await divergenceAfter(gptq(scheme))
    expect(solved / rounded).toBeLessThanOrEqual(share)
  },
  // Four runs of a small model each, in one thread.
  120_000,
)
