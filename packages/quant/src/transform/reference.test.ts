import { readFileSync } from 'node:fs'
import { silentLogger } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import type { CalibrationSequence } from '../calibration/calibration-batch.ts'
import type { DecoderLayer } from '../decoder-layer.ts'
import { openFixtureLayers } from '../model/fixture-layers.case.ts'
import { planQuantizing } from '../quantize/pass-options.ts'
import { roundToNearest } from '../quantize/round-to-nearest-pass.ts'
import type { WeightScheme } from '../weight-scheme.ts'
import { collectAwqInputs } from './awq-inputs.ts'
import { awqTrials } from './awq-scales.ts'
import type { DuoScaling } from './awq-scales.ts'
import { searchScales } from './awq-search.ts'
import type { AwqResult } from './awq-search.ts'
import { createPlaceChooser } from './choose-places.ts'
import { foldScales } from './fold-scales.ts'
import { smoothQuant } from './smooth-quant.ts'

/** What fixtures/quantization/make-awq.py found with torch. */
interface ReferenceCase {
  readonly model: string
  readonly seed: number
  readonly duoScaling: DuoScaling
  readonly strength: number
  readonly scheme: WeightScheme
  readonly layers: readonly {
    /** Mean squared error of the layer's output once all its linear layers are rounded. */
    readonly error: number
    /** SmoothQuant's scales by norm, in base64; of the first layer. */
    readonly smooth: Readonly<Record<string, string>>
    readonly places: readonly {
      readonly name: string
      readonly ratio: number
      readonly isDuo: boolean
      readonly error: number
      readonly firstError: number
      readonly scales: string | null
    }[]
  }[]
}

const cases: readonly ReferenceCase[] = JSON.parse(
  readFileSync(new URL('../../../../fixtures/quantization/awq.json', import.meta.url), 'utf8'),
)

function floatsOf(text: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer)
}

function sequencesOf(vocabSize: number, seed: number): CalibrationSequence[] {
  return [20, 40, 33].map((length, s) => ({
    ids: Int32Array.from({ length }, (_, i) => (i * i * 31 + i * 17 + s * 101 + 7 + 13 * seed) % vocabSize),
    mask: s === 1 ? Uint8Array.from({ length }, (_, i) => (i < 5 ? 0 : 1)) : null,
  }))
}

const vocabSizes: Readonly<Record<string, number>> = {
  llama: 640,
  qwen2: 704,
  mistral: 672,
  gemma2: 704,
  olmo2: 624,
  phi3: 656,
}

const open = ({ model, seed }: ReferenceCase): ReturnType<typeof openFixtureLayers> =>
  openFixtureLayers(model, { sequences: sequencesOf(vocabSizes[model] ?? 640, seed) })

/** As the pass does it, with what it found. */
async function transform(layer: DecoderLayer, { scheme, duoScaling }: ReferenceCase): Promise<Map<string, AwqResult>> {
  const schemes = new Map(
    planQuantizing({ scheme })
      .tasksOf(layer)
      .map((task) => [task.module, task.scheme]),
  )
  const { places } = createPlaceChooser(null)(layer)
  const inputs = await collectAwqInputs(layer, places, 2048)
  const found = new Map<string, AwqResult>()
  for (const place of places) {
    const result = searchScales(layer, place, { inputs, trials: awqTrials(duoScaling, 20), schemes })
    if (result === null) continue
    found.set(place.smooth.name.slice(layer.name.length + 1), result)
    foldScales(layer, place, result.scales)
  }
  return found
}

function largestDifference(actual: Float32Array, expected: Float32Array): number {
  expect(actual).toHaveLength(expected.length)
  return actual.reduce((max, value, i) => Math.max(max, Math.abs(value / expected[i]! - 1)), 0)
}

describe.each(cases)('$model, seed $seed', (reference) => {
  it('finds the scales of torch for AWQ, and layers lose no more', async () => {
    for (const [index, { places, error }] of reference.layers.entries()) {
      const [original, changed] = [await open(reference), await open(reference)]
      try {
        const layer = changed.layers[index]!
        await Promise.all([original.stream.reach(index), changed.stream.reach(index)])
        const found = await transform(layer, reference)
        expect([...found.keys()].sort()).toEqual(places.map(({ name }) => name).sort())
        for (const place of places) {
          const { trial, scales, ...result } = found.get(place.name)!
          expect({ name: place.name, ...trial }).toEqual({
            name: place.name,
            ratio: expect.closeTo(place.ratio, 9),
            isDuo: place.isDuo,
          })
          expect(Math.abs(result.error / place.error - 1), place.name).toBeLessThan(0.02)
          expect(Math.abs(result.firstError / place.firstError - 1), place.name).toBeLessThan(0.02)
          if (place.scales !== null)
            expect(largestDifference(scales, floatsOf(place.scales)), place.name).toBeLessThan(1e-4)
        }
        await roundToNearest({ scheme: reference.scheme })(layer)
        await Promise.all([original.stream.advance(original.layers[index]!), changed.stream.advance(layer)])
        const [expected, actual] = [await original.stream.reach(index + 1), await changed.stream.reach(index + 1)]
        let [sum, count] = [0, 0]
        changed.batches.forEach(({ shown, ids }, batch) => {
          const { hiddenSize } = layer.config
          const [a, b] = [actual.read(batch), expected.read(batch)]
          for (const row of shown ?? ids.keys())
            for (let at = row * hiddenSize; at < (row + 1) * hiddenSize; at++, count++) sum += (a[at]! - b[at]!) ** 2
        })
        // A token that is sent to another expert outweighs all rounding: of mixtures the errors of places are compared, above.
        if (layer.config.moe === null) expect(sum / count / error, `layer ${index}`).toBeLessThan(1.02)
      } finally {
        original.dispose()
        changed.dispose()
      }
    }
  })

  it('has the scales of torch for SmoothQuant', async () => {
    const fixture = await open(reference)
    try {
      const [layer] = fixture.layers
      const { places } = createPlaceChooser(null)(layer!)
      const before = new Map(layer!.modules.map((module) => [module, module.weight()]))
      await smoothQuant({ smoothingStrength: reference.strength, logger: silentLogger })(layer!)
      const norms = places.filter(({ smooth }) => smooth.kind === 'norm')
      expect(norms.map(({ smooth }) => smooth.name.slice(layer!.name.length + 1)).sort()).toEqual(
        Object.keys(reference.layers[0]!.smooth).sort(),
      )
      for (const { smooth, balance } of norms) {
        const expected = floatsOf(reference.layers[0]!.smooth[smooth.name.slice(layer!.name.length + 1)]!)
        const [module] = balance
        const after = module!.weight()
        // Norms of bfloat16 round, small ones of the form 1 + w the more, and the weights make up for that.
        const limit = fixture.model.config.dtype === 'bfloat16' ? 2 ** -6 : 1e-4
        const original = before.get(module!)!
        for (let at = 0; at < after.length; at++) {
          // The quotient of the smallest has few bits.
          if (Math.abs(original[at]!) < 1e-6) continue
          expect(Math.abs(after[at]! / original[at]! / expected[at % module!.cols]! - 1)).toBeLessThan(limit)
        }
      }
    } finally {
      fixture.dispose()
    }
  })
})
