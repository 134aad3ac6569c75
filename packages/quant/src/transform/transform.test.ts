import { silentLogger } from '@octavo/core'
import type { Logger } from '@octavo/core'
import { InvalidConfigError } from '@octavo/core/backend'
import { QuantizationError } from '@octavo/core/quantization'
import { describe, expect, it } from 'vitest'
import type { LayerPass } from '../decoder-layer.ts'
import { fixtureModels, openFixtureLayers } from '../model/fixture-layers.case.ts'
import { awq, awqTransform } from './awq.ts'
import { logEqualization, smoothQuant } from './smooth-quant.ts'
import { smoothPlaces } from './smooth-place.ts'

const logger = silentLogger

/** What all layers make of the calibration tokens, each changed by the pass before it runs. */
async function outputsAfter(name: string, pass: LayerPass | null): Promise<Float32Array[][]> {
  const fixture = await openFixtureLayers(name)
  try {
    const { layers, stream, batches } = fixture
    const outputs: Float32Array[][] = []
    for (const layer of layers) {
      await stream.reach(layer.index)
      await pass?.(layer)
      await stream.advance(layer)
      const store = await stream.reach(layer.index + 1)
      outputs.push(batches.map((_, batch) => store.read(batch).slice()))
    }
    return outputs
  } finally {
    fixture.dispose()
  }
}

function largestError(actual: readonly Float32Array[], expected: readonly Float32Array[]): number {
  let [error, scale] = [0, 0]
  expected.forEach((values, batch) =>
    values.forEach((value, i) => {
      scale = Math.max(scale, Math.abs(value))
      error = Math.max(error, Math.abs(value - actual[batch]![i]!))
    }),
  )
  return error / scale
}

const passes: Readonly<Record<string, () => LayerPass>> = {
  awqTransform: () => awqTransform({ groupSize: 'channel', gridSize: 5, logger }),
  smoothQuant: () => smoothQuant({ logger }),
  logEqualization: () => logEqualization({ logger }),
}

describe.each(fixtureModels)('%s', (name) => {
  it.each(Object.keys(passes))('computes the same after %s', async (pass) => {
    const expected = await outputsAfter(name, null)
    const actual = await outputsAfter(name, passes[pass]!())
    expected.forEach((layer, index) => expect(largestError(actual[index]!, layer), `layer ${index}`).toBeLessThan(1e-5))
  })
})
