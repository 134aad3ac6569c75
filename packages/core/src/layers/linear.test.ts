import { memory, setBackend, tensor2d, tidy } from '@tensorflow/tfjs-core'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import type { DType } from '../tensor/dtype.ts'
import { singleRank } from './communicator.ts'
import type { Communicator } from './communicator.ts'
import {
  createColumnLinear,
  createMergedLinear,
  createQkvLinear,
  createReplicatedLinear,
  createRowLinear,
} from './linear.ts'
import type { Linear } from './linear.ts'
import { emptyContext } from './empty-context.case.ts'
import { MemoryWeights, randomValues } from './memory-weights.case.ts'
import type { MemoryTensor } from './memory-weights.case.ts'
import { ReplayGroup } from './replay-group.case.ts'
import { WeightLoader } from './weight-loader.ts'

const hiddenSize = 8
const context = emptyContext()
const x = randomValues(3 * hiddenSize, 99)

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

function matrix(rows: number, cols: number, seed: number, format: DType = 'float32'): MemoryTensor {
  return { shape: [rows, cols], values: randomValues(rows * cols, seed), format }
}

function vector(length: number, seed: number): MemoryTensor {
  return { shape: [length], values: randomValues(length, seed) }
}

function loaderOf(tensors: Record<string, MemoryTensor>, communicator: Communicator = singleRank): WeightLoader {
  const loader = new WeightLoader({ source: new MemoryWeights(tensors), pack, dtype: 'auto', communicator })
  loaders.push(loader)
  return loader
}

function apply(layer: Linear, input = x, features = hiddenSize): Float32Array {
  return tidy(() =>
    layer
      .forward(tensor2d(input, [input.length / features, features]), context)
      .dataSync<'float32'>()
      .slice(),
  )
}

/** The product with float64 sums. */
function product({ values, shape }: MemoryTensor, bias: MemoryTensor | null, input = x): number[] {
  const [rows = 0, cols = 0] = shape
  return Array.from({ length: (input.length / cols) * rows }, (_, i) => {
    const [token, row] = [Math.floor(i / rows), i % rows]
    let sum = bias?.values[row] ?? 0
    for (let c = 0; c < cols; c++) sum += input[token * cols + c]! * values[row * cols + c]!
    return sum
  })
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length).toBe(expected.length)
  for (let i = 0; i < expected.length; i++) expect(actual[i]).toBeCloseTo(expected[i]!, 5)
}

describe('on one rank', () => {
  const weight = matrix(6, hiddenSize, 1)
  const bias = vector(6, 2)

  it.each([createReplicatedLinear, createColumnLinear, createRowLinear])(
    '$name multiplies and adds the bias',
    (create) => {
      const loader = loaderOf({ 'a.weight': weight, 'a.bias': bias })
      const options = { prefix: 'a', inFeatures: hiddenSize, outFeatures: 6 }
      expectClose(apply(create(loader, { ...options, hasBias: true })), product(weight, bias))
      expectClose(apply(create(loader, { ...options, hasBias: false })), product(weight, null))
    },
  )

  it('transposes weights that are stored [in, out]', () => {
    const stored = {
      shape: [hiddenSize, 6],
      values: weight.values.map((_, i) => weight.values[(i % 6) * hiddenSize + Math.floor(i / 6)]!),
    }
    const loader = new WeightLoader({
      source: new MemoryWeights({ 'a.weight': stored }),
      pack,
      dtype: 'auto',
      communicator: singleRank,
      layout: { rename: (name) => name, isInOut: (name) => name === 'a.weight' },
    })
    loaders.push(loader)
    const layer = createReplicatedLinear(loader, {
      prefix: 'a',
      inFeatures: hiddenSize,
      outFeatures: 6,
      hasBias: false,
    })
    expectClose(apply(layer), product(weight, null))
  })

  it('keeps parts of different formats apart, and gives the same result', () => {
    const tensors = {
      'gate.weight': matrix(4, hiddenSize, 3),
      'up.weight': matrix(2, hiddenSize, 4, 'bfloat16'),
      'gate.bias': vector(4, 5),
      'up.bias': vector(2, 6),
    }
    const loader = loaderOf(tensors)
    const layer = createMergedLinear(loader, {
      tensors: [
        { prefix: 'gate', outFeatures: 4 },
        { prefix: 'up', outFeatures: 2 },
      ],
      parts: [
        { start: 0, end: 4 },
        { start: 4, end: 6 },
      ],
      inFeatures: hiddenSize,
      hasBias: true,
    })
    // float32 stays float32, bfloat16 stays bfloat16; the biases are float32 tensors.
    expect(pack.usedBytes).toBe(4 * hiddenSize * 4 + 2 * hiddenSize * 2)
    const alone = (prefix: string, outFeatures: number): Float32Array =>
      apply(createReplicatedLinear(loader, { prefix, inFeatures: hiddenSize, outFeatures, hasBias: true }))
    const [gate, up] = [alone('gate', 4), alone('up', 2)]
    const expected = [0, 1, 2].flatMap((token) => [
      ...gate.subarray(token * 4, token * 4 + 4),
      ...up.subarray(token * 2, token * 2 + 2),
    ])
    expect([...apply(layer)]).toEqual(expected)
  })

  it('names the tensor that is missing or has another shape', () => {
    const options = { prefix: 'a', inFeatures: hiddenSize, outFeatures: 6, hasBias: true }
    expect(() => createReplicatedLinear(loaderOf({ 'b.weight': weight }), options)).toThrow(/"a\.weight"/)
    expect(() => createReplicatedLinear(loaderOf({ 'a.weight': weight }), options)).toThrow(/"a\.bias"/)
    expect(() =>
      createReplicatedLinear(loaderOf({ 'a.weight': matrix(5, hiddenSize, 1), 'a.bias': bias }), options),
    ).toThrow(/\[6, 8\], found.*\[5, 8\]/)
  })
})

describe('on several ranks', () => {
  it('a row layer after a column layer gives the unsharded result on every rank', () => {
    const [up, upBias] = [matrix(12, hiddenSize, 1, 'bfloat16'), vector(12, 2)]
    const [down, downBias] = [matrix(hiddenSize, 12, 3), vector(hiddenSize, 4)]
    const tensors = { 'up.weight': up, 'up.bias': upBias, 'down.weight': down, 'down.bias': downBias }
    const build = (loader: WeightLoader): Linear => {
      const first = createColumnLinear(loader, { prefix: 'up', inFeatures: hiddenSize, outFeatures: 12, hasBias: true })
      const second = createRowLinear(loader, { prefix: 'down', inFeatures: 12, outFeatures: hiddenSize, hasBias: true })
      return { forward: (input, forward) => second.forward(first.forward(input, forward), forward) }
    }
    const expected = apply(build(loaderOf(tensors)))
    const numTensors = memory().numTensors
    for (const size of [2, 4]) {
      const group = new ReplayGroup(size)
      const before = pack.usedBytes
      const layers = group.communicators.map((communicator) => build(loaderOf(tensors, communicator)))
      expect(pack.usedBytes - before).toBe(12 * hiddenSize * 2 + hiddenSize * 12 * 4)
      for (const result of group.run((rank) => apply(layers[rank]!))) expectClose(result, expected)
    }
    for (const loader of loaders.slice(1)) loader.dispose()
    expect(memory().numTensors).toBe(numTensors)
  })

  it.each([
    { size: 2, prefixes: { q: 'q', k: 'k', v: 'v' } },
    { size: 4, prefixes: { q: 'q', k: 'k', v: 'v' } },
    { size: 2, prefixes: { qkv: 'qkv' } },
  ])('qkv gives each of $size ranks its heads ($prefixes)', ({ size, prefixes }) => {
    const [numHeads, numKvHeads, headDim] = [4, 2, 3]
    const tensors: Record<string, MemoryTensor> = {}
    const names = [['q', 12] as const, ['k', 6] as const, ['v', 6] as const]
    names.forEach(([name, rows], i) => {
      tensors[`${name}.weight`] = matrix(rows, hiddenSize, i)
      tensors[`${name}.bias`] = vector(rows, 10 + i)
    })
    const join = (ending: string): Float32Array =>
      Float32Array.from(names.flatMap(([name]) => [...tensors[`${name}.${ending}`]!.values]))
    tensors['qkv.weight'] = { shape: [24, hiddenSize], values: join('weight') }
    tensors['qkv.bias'] = { shape: [24], values: join('bias') }
    const options = { prefixes, hiddenSize, numHeads, numKvHeads, headDim, hasBias: true }
    const whole = product(tensors['qkv.weight'], tensors['qkv.bias'])
    for (const communicator of new ReplayGroup(size).communicators) {
      const layer = createQkvLinear(loaderOf(tensors, communicator), options)
      const parts = tidy(() =>
        layer.forwardParts(tensor2d(x, [3, hiddenSize]), context).map((part) => part.arraySync()),
      )
      const share = numHeads / size
      const kvHead = Math.floor((communicator.rank * numKvHeads) / size)
      const columns = [
        { start: communicator.rank * share * headDim, width: share * headDim },
        { start: 12 + kvHead * headDim, width: headDim },
        { start: 18 + kvHead * headDim, width: headDim },
      ]
      columns.forEach(({ start, width }, part) => {
        for (let token = 0; token < 3; token++) {
          expectClose(parts[part]![token]!, whole.slice(token * 24 + start, token * 24 + start + width))
        }
      })
    }
  })

  it('shares features that do not divide, and refuses heads that do not', () => {
    const tensors = { 'up.weight': matrix(7, hiddenSize, 1), 'down.weight': matrix(hiddenSize, 7, 2) }
    const build = (loader: WeightLoader): Linear => {
      const up = createColumnLinear(loader, { prefix: 'up', inFeatures: hiddenSize, outFeatures: 7, hasBias: false })
      const down = createRowLinear(loader, { prefix: 'down', inFeatures: 7, outFeatures: hiddenSize, hasBias: false })
      return { forward: (input, forward) => down.forward(up.forward(input, forward), forward) }
    }
    const expected = apply(build(loaderOf(tensors)))
    const group = new ReplayGroup(3)
    const layers = group.communicators.map((communicator) => build(loaderOf(tensors, communicator)))
    for (const result of group.run((rank) => apply(layers[rank]!))) expectClose(result, expected)

    const [, second] = new ReplayGroup(3).communicators
    const heads = { prefixes: { qkv: 'a' }, hiddenSize, numHeads: 4, numKvHeads: 2, headDim: 2, hasBias: false }
    expect(() => createQkvLinear(loaderOf(tensors, second), heads)).toThrow(
      /tp: 3 ranks cannot share 4 query and 2 key\/value heads evenly; use 1, 2 or 4/,
    )
  })
})
