import { silentLogger } from '@octavo/core'
import type { Logger } from '@octavo/core'
import { InvalidConfigError } from '@octavo/core/backend'
import { QuantizationError } from '@octavo/core/quantization'
import type { GroupedWeight } from '@octavo/core/quantization'
import { setBackend } from '@tensorflow/tfjs-core'
import { onTestFinished, describe, expect, it } from 'vitest'
import type { DecoderLayer, LayerModule, LayerPass } from '../decoder-layer.ts'
import { openFixtureLayers } from '../model/fixture-layers.case.ts'
import { autoRound } from './auto-round-pass.ts'
import { createGptqFactor } from './gptq-factor.ts'
import { gptq } from './gptq-pass.ts'
import type { GptqPassOptions } from './gptq-pass.ts'
import { quantizeByGptq } from './gptq.ts'
import { collectMoments } from './input-moments.ts'
import type { CollectOptions, InputMoments } from './input-moments.ts'
import { mixedBits } from './mixed-bits-pass.ts'
import { roundToNearest } from './round-to-nearest-pass.ts'
import { quantizeToNearest } from './round-to-nearest.ts'
import { resolveScheme } from './scheme-options.ts'

const small = { groupSize: 8, logger: silentLogger } as const

async function firstLayer(name: string): Promise<DecoderLayer> {
  const fixture = await openFixtureLayers(name)
  onTestFinished(() => fixture.dispose())
  await setBackend(fixture.pack.name)
  return fixture.layers[0]!
}

async function momentsOf(layer: DecoderLayer, options: CollectOptions = {}): Promise<InputMoments[]> {
  const all: InputMoments[] = []
  for await (const moments of collectMoments(layer, layer.modules, options)) all.push(moments)
  return all
}

async function weightsAfter(layer: DecoderLayer, pass: LayerPass): Promise<(GroupedWeight | null)[]> {
  await pass(layer)
  return layer.modules.map(({ quantized }) => quantized)
}

function collectWarnings(): { logger: Logger; warnings: string[] } {
  const warnings: string[] = []
  return { logger: { ...silentLogger, warn: (message: string) => void warnings.push(message) }, warnings }
}

describe('moments', () => {
  it('are shared by modules of one input', async () => {
    const layer = await firstLayer('llama')
    const moments = await momentsOf(layer)
    const names = moments.map(({ modules }) => modules.map(({ name }) => name.split('.').at(-1)!))
    expect(names).toEqual([['q_proj', 'k_proj', 'v_proj'], ['o_proj'], ['gate_proj', 'up_proj'], ['down_proj']])
    // 93 tokens, of which five are masked.
    expect(moments.map(({ numTokens }) => numTokens)).toEqual([88, 88, 88, 88])
  })

  it('are those of what each module was given', async () => {
    const layer = await firstLayer('mixtral')
    const expected = new Map<LayerModule, Float64Array>()
    await layer.observe(({ module, input }) => {
      const { cols } = module
      const sums = expected.get(module) ?? new Float64Array(cols * cols)
      const values = input.dataSync<'float32'>()
      for (let start = 0; start < values.length; start += cols) {
        for (let i = 0; i < cols; i++) {
          for (let j = i; j < cols; j++) sums[i * cols + j]! += values[start + i]! * values[start + j]!
        }
      }
      expected.set(module, sums)
    })
    const seen = new Set<LayerModule>()
    for (const { modules, sums } of await momentsOf(layer)) {
      for (const module of modules) {
        seen.add(module)
        const largest = Math.max(...sums)
        const difference = sums.reduce((max, sum, i) => Math.max(max, Math.abs(sum - expected.get(module)![i]!)), 0)
        expect(difference / largest, module.name).toBeLessThan(1e-6)
      }
    }
    expect(seen).toEqual(new Set(expected.keys()))
  })

  it('are the same where they are taken in many rounds', async () => {
    const layer = await firstLayer('mixtral')
    const plain = ({ modules, sums, numTokens }: InputMoments): unknown => [
      modules.map(({ name }) => name),
      sums,
      numTokens,
    ]
    const rounds = await momentsOf(layer, { maxBytes: 1 })
    expect(rounds.map(plain)).toEqual((await momentsOf(layer)).map(plain))
  })

  it('name a module whose inputs are not finite', async () => {
    const layer = await firstLayer('llama')
    const broken = layer.modules.find(({ name }) => name.endsWith('up_proj'))!
    broken.setWeight(broken.weight().fill(NaN))
    await expect(momentsOf(layer)).rejects.toThrow(QuantizationError)
    await expect(momentsOf(layer)).rejects.toThrow(/layers\.0\.mlp\.down_proj: input column 0/)
  })
})

describe('gptq', () => {
  it.each(['none', 'static', 'group', 'group-aware'] as const)(
    'solves each module by its own input, %s',
    async (order) => {
      const layer = await firstLayer('llama')
      const scheme = resolveScheme(small)
      const expected = new Map<LayerModule, GroupedWeight>()
      for (const { modules, sums } of await momentsOf(layer)) {
        for (const module of modules) {
          const matrix = { values: module.weight(), rows: module.rows, cols: module.cols }
          expected.set(module, quantizeByGptq(matrix, sums, { scheme, order }).weight)
        }
      }
      const weights = await weightsAfter(layer, gptq({ ...small, order }))
      expect(weights).toEqual(layer.modules.map((module) => expected.get(module)))
      expect(weights.every((weight) => weight!.format.hasOrder === (order === 'group'))).toBe(true)
    },
  )

  it('rounds experts that too few tokens reach to the nearest, and says which', async () => {
    const layer = await firstLayer('mixtral')
    const { logger, warnings } = collectWarnings()
    const scheme = resolveScheme(small)
    const isExpert = ({ role }: LayerModule): boolean => role === 'expert'
    const expected = layer.modules
      .filter(isExpert)
      .map((module) => quantizeToNearest({ values: module.weight(), rows: module.rows, cols: module.cols }, scheme))
    await gptq({ ...small, logger, minExpertTokens: 1e6 })(layer)
    expect(layer.modules.filter(isExpert).map(({ quantized }) => quantized)).toEqual(expected)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/^model\.layers\.0: too few calibration tokens reached .*experts\.0/)
    expect(layer.modules.find(({ role }) => role === 'router')!.quantized).toBe(null)
  })

  it('says where moments allow no more than rounding', () => {
    const factor = createGptqFactor(Float64Array.of(1, 2, 2, 1), 2, { order: 'none', groupSize: 2, dampening: 0 })
    expect(factor.failedAt).not.toBe(null)
    expect([...factor.upper]).toEqual([1, 0, 0, 1])
  })
})

describe('what modules are taken', () => {
  it('leaves out what is ignored or quantized already, and gives some other bits', async () => {
    const layer = await firstLayer('llama')
    const [first, second, third] = layer.modules
    await roundToNearest({ ...small, bits: 8, targets: [first!.name] })(layer)
    await roundToNearest({ ...small, ignore: [second!.name], bitsOf: { [third!.name]: 3 } })(layer)
    expect(layer.modules.map(({ quantized }) => quantized?.format.bits ?? null)).toEqual(
      layer.modules.map((module) => (module === first ? 8 : module === second ? null : module === third ? 3 : 4)),
    )
  })

  it('refuses groups that do not divide a row, naming the module', async () => {
    const layer = await firstLayer('llama')
    expect(() => roundToNearest({ groupSize: 7 })(layer)).toThrow(
      /model\.layers\.0\.self_attn\.q_proj: its \d+ columns are no whole number of groups of 7/,
    )
    expect(layer.modules.every(({ quantized }) => quantized === null)).toBe(true)
  })

  it('refuses weights that are not finite, naming the module', async () => {
    const layer = await firstLayer('llama')
    const module = layer.modules[1]!
    const values = module.weight()
    values[module.cols + 3] = NaN
    module.setWeight(values)
    expect(() => roundToNearest(small)(layer)).toThrow(/k_proj: row 1, column 3 of the weight is NaN/)
  })

  it.each([
    { bits: 9 },
    { bits: 4, type: 'float', isSymmetric: false },
    { bits: 6, type: 'float' },
    { groupSize: 0 },
    { scaleDtype: 'e8m0' },
    { dampening: -1 },
    { blockSize: 0 },
    { order: 'weight' },
    { bitsOf: { 'model.layers.0.mlp.up_proj': 1 } },
  ])('refuses %o', (options) => {
    const make = (): LayerPass => gptq(options as GptqPassOptions)
    expect(make).toThrow()
    try {
      make()
    } catch (error) {
      expect(error instanceof InvalidConfigError || (error as { code: string }).code === 'unsupported_model').toBe(true)
    }
  })
})

describe('autoRound and mixedBits', () => {
  it('autoRound quantizes all that gptq does', async () => {
    const layer = await firstLayer('llama')
    const weights = await weightsAfter(layer, autoRound({ ...small, steps: 3 }))
    expect(weights.every((weight) => weight !== null)).toBe(true)
  })

  it('mixedBits keeps within its bits, and spends them', async () => {
    const layer = await firstLayer('llama')
    const weights = await weightsAfter(layer, mixedBits({ ...small, averageBits: 7 }))
    const bits = weights.reduce((sum, weight) => sum + weight!.planes.length * 8, 0)
    const numWeights = layer.modules.reduce((sum, { rows, cols }) => sum + rows * cols, 0)
    expect(bits / numWeights).toBeLessThanOrEqual(7)
    expect(bits / numWeights).toBeGreaterThan(6)
    expect(new Set(weights.map((weight) => weight!.format.bits)).size).toBeGreaterThan(1)
  })

  it('mixedBits takes the fewest bits that lose no more than they may', async () => {
    const fewest = await weightsAfter(await firstLayer('llama'), mixedBits({ ...small, maxError: 1 }))
    expect(fewest.map((weight) => weight!.format.bits)).toEqual(fewest.map(() => 3))
    const most = await weightsAfter(await firstLayer('llama'), mixedBits({ ...small, maxError: 0 }))
    expect(most.map((weight) => weight!.format.bits)).toEqual(most.map(() => 8))
    expect(() => mixedBits({ ...small })).toThrow(/either averageBits or maxError/)
  })
})
