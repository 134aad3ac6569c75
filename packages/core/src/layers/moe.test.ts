import { setBackend, tensor2d, tidy } from '@tensorflow/tfjs-core'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import type { DType } from '../tensor/dtype.ts'
import { singleRank } from './communicator.ts'
import type { Communicator } from './communicator.ts'
import type { Mlp } from './mlp.ts'
import { emptyContext } from './empty-context.case.ts'
import { ExpertBalance } from './expert-balance.ts'
import { createLoadedLinear, unquantized } from './linear-method.ts'
import type { LinearMethods, LoadedLinear } from './linear-method.ts'
import { MemoryWeights, randomValues } from './memory-weights.case.ts'
import type { MemoryTensor } from './memory-weights.case.ts'
import { createMoe } from './moe.ts'
import { ReplayGroup } from './replay-group.case.ts'
import { WeightLoader } from './weight-loader.ts'
import type { WeightLoaderOptions } from './weight-loader.ts'

const [numExperts, hiddenSize, intermediateSize] = [3, 8, 6]
const context = emptyContext()
const x = randomValues(5 * hiddenSize, 99)

const tensors: Record<string, MemoryTensor> = { 'gate.weight': matrix([numExperts, hiddenSize], 1, 'float32') }
for (let e = 0; e < numExperts; e++) {
  tensors[`${e}.gate.weight`] = matrix([intermediateSize, hiddenSize], 3 * e + 2, 'bfloat16')
  tensors[`${e}.up.weight`] = matrix([intermediateSize, hiddenSize], 3 * e + 3, 'float16')
  tensors[`${e}.down.weight`] = matrix([hiddenSize, intermediateSize], 3 * e + 4, 'float16')
}
const storedBytes = 4 * numExperts * hiddenSize + 2 * numExperts * 3 * intermediateSize * hiddenSize

function matrix(shape: readonly [number, number], seed: number, format: DType): MemoryTensor {
  return { shape, values: randomValues(shape[0] * shape[1], seed), format }
}

let pack: BackendPack
let loaders: WeightLoader[] = []
beforeAll(async () => {
  pack = await createCpuPack()
  await setBackend('cpu')
})
afterEach(() => {
  for (const loader of loaders) loader.dispose()
  loaders = []
  expect(pack.usedBytes).toBe(0)
})

function create(
  dtype: DType | 'auto',
  communicator: Communicator = singleRank,
  more: Partial<WeightLoaderOptions> = {},
): { layer: Mlp; loader: WeightLoader } {
  const loader = new WeightLoader({ source: new MemoryWeights(tensors), pack, dtype, communicator, ...more })
  loaders.push(loader)
  const layer = createMoe(loader, {
    routerPrefix: 'gate',
    hasRouterBias: false,
    hasExpertBias: false,
    isInterleaved: false,
    numExperts,
    numExpertsPerToken: 2,
    hiddenSize,
    intermediateSize,
    scoring: 'softmax',
    renormalize: true,
    activation: 'silu',
    expert: (e) => ({
      gateUp: [`${e}.gate`, `${e}.up`],
      down: `${e}.down`,
    }),
  })
  return { layer, loader }
}

function apply(layer: Mlp, numTokens = 5): Float32Array {
  return tidy(() =>
    layer
      .forward(tensor2d(x.subarray(0, numTokens * hiddenSize), [numTokens, hiddenSize]), context)
      .dataSync<'float32'>()
      .slice(),
  )
}

describe('experts whose gate and up projection are stored in different formats', () => {
  it('keep the formats, and give the same bits as one float32 weight of both', () => {
    const apart = create('auto')
    expect(apart.loader.sizeInBytes).toBe(storedBytes)
    expect(pack.usedBytes).toBe(storedBytes)
    expect(apply(apart.layer)).toEqual(apply(create('float32').layer))
  })

  it('are shared by ranks', () => {
    const expected = apply(create('auto').layer)
    const group = new ReplayGroup(2)
    const shards = group.communicators.map((communicator) => create('auto', communicator))
    for (const { loader } of shards) expect(loader.sizeInBytes).toBeLessThan(storedBytes * 0.6)
    for (const result of group.run((rank) => apply(shards[rank]!.layer))) {
      result.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5))
    }
  })
})

describe('experts on ranks of their own', () => {
  it.each([2, 3])('give the result of one rank on %i ranks, for one token as for many', (size) => {
    const whole = create('auto')
    const group = new ReplayGroup(size)
    const balance = new ExpertBalance()
    const ranks = group.communicators.map((expertCommunicator) =>
      create('auto', singleRank, {
        expertCommunicator,
        ...(expertCommunicator.rank === 0 && { expertBalance: balance }),
      }),
    )
    for (const { loader } of ranks) {
      loader.finish()
      expect(loader.sizeInBytes).toBeLessThan(storedBytes * (size === 2 ? 0.75 : 0.45))
    }
    for (const numTokens of [5, 1]) {
      const expected = apply(whole.layer, numTokens)
      for (const result of group.run((rank) => apply(ranks[rank]!.layer, numTokens))) {
        expect(result.length).toBe(expected.length)
        result.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5))
      }
    }
    // Replays count again, but always the same.
    const { rowsPerRank, imbalance } = balance.report()!
    expect(rowsPerRank.length).toBe(size)
    expect(imbalance).toBeGreaterThanOrEqual(1)
    expect(imbalance).toBeLessThanOrEqual(size)
  })

  it('tell a method of their own which tokens its rows are', () => {
    const seen: { module: string; tokens: readonly number[] | null }[] = []
    const watch = (loaded: LoadedLinear, module: string): LoadedLinear =>
      createLoadedLinear((rows, bias, forward) => {
        seen.push({ module, tokens: forward.tokens && [...forward.tokens] })
        return loaded.apply(rows, bias, forward)
      })
    const linearMethods: LinearMethods = (module, role) =>
      role === 'expert'
        ? { ...unquantized, load: (loader, selection) => watch(unquantized.load(loader, selection), module) }
        : unquantized
    const whole = create('auto', singleRank, { linearMethods })
    const expected = apply(whole.layer)
    const downs = (): string[] => {
      const calls = seen.splice(0).map(({ module, tokens }) => `${module} ${String(tokens)}`)
      return [...new Set(calls)].filter((call) => call.includes('down')).toSorted()
    }
    const expectedCalls = downs()
    const group = new ReplayGroup(2)
    const ranks = group.communicators.map((expertCommunicator) =>
      create('auto', singleRank, { expertCommunicator, linearMethods }),
    )
    for (const result of group.run((rank) => apply(ranks[rank]!.layer)))
      result.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5))
    expect(downs()).toEqual(expectedCalls)
  })
})
