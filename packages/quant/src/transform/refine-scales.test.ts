import { join } from 'node:path'
import { silentLogger } from '@octavo/core'
import type { Logger } from '@octavo/core'
import { InvalidConfigError } from '@octavo/core/backend'
import { describe, expect, it } from 'vitest'
import { definePass } from '../decoder-layer.ts'
import type { LayerPass } from '../decoder-layer.ts'
import { fixturePath, openFixtureLayers } from '../model/fixture-layers.case.ts'
import { pipeline } from '../pipeline/pipeline.ts'
import { readFolder, temporaryFolder } from '../pipeline/saved-models.case.ts'
import { planQuantizing } from '../quantize/pass-options.ts'
import { awq, awqTransform } from './awq.ts'
import { refineScales } from './refine-scales.ts'
import { smoothPlaces } from './smooth-place.ts'

const logger = silentLogger
const scheme = { bits: 4, groupSize: 'channel' } as const

/** What is found in a fixture's first layer, by the end of the names. */
async function refinedIn(name: string): Promise<Map<string, number>> {
  const fixture = await openFixtureLayers(name)
  try {
    const layer = fixture.layers[0]!
    const { places, shared } = smoothPlaces(layer)
    const found = new Map<string, number>()
    await refineScales(layer, {
      places: [...places, ...shared],
      tasks: planQuantizing({ ...scheme, logger }).tasksOf(layer),
      sweeps: 1,
      onRefined: ({ smooth }, { firstError, error }) =>
        void found.set(smooth.name.slice(layer.name.length + 1), error / firstError),
    })
    return found
  } finally {
    fixture.dispose()
  }
}

describe('channels one by one', () => {
  it('lose less everywhere, values that query heads share among them', async () => {
    const found = await refinedIn('llama')
    expect([...found.keys()].sort()).toEqual([
      'input_layernorm',
      'mlp.up_proj',
      'post_attention_layernorm',
      'self_attn.v_proj',
    ])
    for (const [name, share] of found) expect(share, name).toBeLessThan(0.995)
  })

  it('are left alone where readers are not given the same tokens, or few', async () => {
    expect([...(await refinedIn('mixtral')).keys()].sort()).toEqual(['input_layernorm', 'self_attn.v_proj'])
  })

  it('are not said to be left alone', async () => {
    const said = async (pass: (collecting: Logger) => LayerPass): Promise<string> => {
      const fixture = await openFixtureLayers('llama')
      const messages: string[] = []
      await pass({ ...silentLogger, info: (message) => void messages.push(message) })(fixture.layers[0]!)
      fixture.dispose()
      return messages.join('\n')
    }
    expect(await said((own) => awqTransform({ ...scheme, gridSize: 3, logger: own }))).toMatch(/queries share heads/)
    expect(await said((own) => awq({ ...scheme, gridSize: 3, logger: own }))).toBe('')
  })
})

describe('awq with refine', () => {
  const calibration = { data: Array.from({ length: 24 }, (_, i) => `text number ${i}, and it says ${i * i}`) }
  const stopAt = (last: number): LayerPass =>
    definePass({ name: 'stop', options: null }, ({ index }) => {
      if (index === last) throw new Error('stopped')
    })
  const save = async (pass: LayerPass, target: string, last = Infinity): Promise<ReturnType<typeof readFolder>> => {
    await pipeline(fixturePath('llama'), { backend: 'wasm', calibration }).apply(pass, stopAt(last)).save(target)
    return readFolder(target)
  }

  it('gives the same bytes when it is stopped and goes on', async () => {
    const folder = temporaryFolder()
    const pass = (refine?: number): LayerPass =>
      awq({ ...scheme, gridSize: 3, logger, ...(refine !== undefined && { refine }) })
    const whole = await save(pass(), join(folder, 'whole'))
    await expect(save(pass(), join(folder, 'stopped'), 1)).rejects.toThrow(/stopped/)
    await expect(save(pass(2), join(folder, 'stopped'))).rejects.toThrow(/had other passes/)
    expect(await save(pass(), join(folder, 'stopped'))).toEqual(whole)
    expect(await save(pass(0), join(folder, 'without'))).not.toEqual(whole)
  })

  it('needs rows that are cut, and whole numbers', () => {
    expect(() => awqTransform({ ...scheme, refine: 1 })).toThrow(/refine.*without clip/)
    expect(() => awq({ ...scheme, clip: false, refine: 1 })).toThrow(InvalidConfigError)
    expect(() => awq({ ...scheme, refine: 0.5 })).toThrow(/whole number of sweeps/)
    expect(() => awq({ ...scheme, clip: false })).not.toThrow()
  })
})
