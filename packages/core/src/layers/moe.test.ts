import { setBackend, tensor2d, tidy } from '@tensorflow/tfjs-core'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import type { DType } from '../tensor/dtype.ts'
import { singleRank } from './communicator.ts'
import type { Communicator } from './communicator.ts'
import type { Mlp } from './mlp.ts'
import { emptyContext } from './empty-context.case.ts'
import { MemoryWeights, randomValues } from './memory-weights.case.ts'
import type { MemoryTensor } from './memory-weights.case.ts'
import { createMoe } from './moe.ts'
import { ReplayGroup } from './replay-group.case.ts'
import { WeightLoader } from './weight-loader.ts'

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

function create(dtype: DType | 'auto', communicator: Communicator = singleRank): { layer: Mlp; loader: WeightLoader } {
  const loader = new WeightLoader({ source: new MemoryWeights(tensors), pack, dtype, communicator })
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

function apply(layer: Mlp): Float32Array {
  return tidy(() =>
    layer
      .forward(tensor2d(x, [5, hiddenSize]), context)
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
