import { fileURLToPath } from 'node:url'
import {
  add,
  cast,
  concat,
  engine,
  findBackend,
  getBackend,
  memory,
  mul,
  reshape,
  scalar,
  setBackend,
  slice,
  sub,
  tanh,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseModelConfig } from '../../config/model-config.ts'
import { singleRank } from '../../layers/communicator.ts'
import { openCheckpoint } from '../../loading/checkpoint.ts'
import { getModelDefinition } from '../../models/registry.ts'
import type { CausalLM } from '../../models/model.ts'
import { StepRunner } from '../../models/step-runner.case.ts'
import { linear } from '../../ops/linear.ts'
import { describeOps } from '../../ops/ops.case.ts'
import { pagedAttention } from '../../ops/paged-attention.ts'
import { RandomData } from '../../ops/random-data.case.ts'
import { take } from '../../ops/expectations.case.ts'
import { assert } from '../../util/assert.ts'
import type { BackendPack } from '../backend-pack.ts'
import { createCpuPack } from '../cpu/cpu-pack.ts'
import { withOps } from './op-scope.ts'
import { skipReason, testedBinding } from './tensorflow-available.case.ts'
import { isTensorflowBackend } from './tensorflow-backend.ts'
import type { TensorflowBackend } from './tensorflow-backend.ts'
import { createTensorflowPack } from './tensorflow-pack.ts'

if (skipReason === null) {
  describeOps('tensorflow', createTensorflowPack)
  describeOps('tensorflow without fused ops', () => createTensorflowPack({ fusedOps: false }))
} else it.skip(`fused ops on tensorflow: ${skipReason}`, () => {})

const octavoTiny = fileURLToPath(new URL('../../../models/octavo-tiny', import.meta.url))

async function loadTiny(pack: BackendPack): Promise<CausalLM> {
  const checkpoint = await openCheckpoint(octavoTiny)
  const config = parseModelConfig(checkpoint.config, checkpoint.path)
  const source = checkpoint.openWeights()
  try {
    return (await getModelDefinition(config)).load({ config, source, pack, dtype: 'auto', communicator: singleRank })
  } finally {
    source.close()
  }
}

function activeBackend(): TensorflowBackend {
  const backend: unknown = engine().backend
  assert(isTensorflowBackend(backend), 'the tensorflow backend is not active')
  return backend
}

function numHandles(): number {
  assert(testedBinding !== null, 'no TensorFlow')
  return testedBinding.getNumOfTensors()
}

describe.skipIf(skipReason !== null).each([true, false])('the tensorflow pack, fused ops: %s', (fusedOps) => {
  let pack: BackendPack

  beforeEach(async () => {
    pack = await createTensorflowPack({ fusedOps })
    await setBackend('tensorflow')
  })

  afterEach(() => expect(pack.usedBytes).toBe(0))

  it('starts once, however often it is called, and activates nothing', async () => {
    await createCpuPack()
    await setBackend('cpu')
    const backend = findBackend('tensorflow')
    await createTensorflowPack()
    expect(getBackend()).toBe('cpu')
    expect(findBackend('tensorflow')).toBe(backend)
    await setBackend('tensorflow')
  })

  it('keeps no handle over 1,000 requests of mixed shapes', { timeout: 240_000 }, async () => {
    const before = numHandles()
    const model = await loadTiny(pack)
    const runner = new StepRunner(model, pack, { numBlocks: 128, blockSize: 8 })
    const random = new RandomData(50)
    const request = (): ReturnType<StepRunner['add']> =>
      runner.add(Array.from({ length: random.integer(1, 24) }, () => random.integer(0, model.config.vocabSize - 1)))
    /** A batch of requests, whose prompts come in chunks, then two tokens each. */
    const runBatch = (size: number): void => {
      const sequences = Array.from({ length: size }, request)
      const targets = sequences.map(({ ids }) => ids.length + 2)
      for (;;) {
        const parts = sequences.flatMap((sequence, i) => {
          const rest = sequence.ids.length - sequence.numComputed
          if (rest === 0 && sequence.ids.length < targets[i]!) sequence.ids.push(1)
          else if (rest === 0) return []
          return [{ sequence, numTokens: Math.max(1, Math.min(rest, random.integer(1, 20))) }]
        })
        if (parts.length === 0) break
        runner.step(parts, 'last')
      }
      for (const sequence of sequences) runner.release(sequence)
    }
    runBatch(2) // Uploads norms and angles, transposes weights, makes the scalars.
    const [settled, settledTensors] = [numHandles(), memory().numTensors]
    let numRequests = 0
    while (numRequests < 1000) {
      const size = random.integer(1, 12)
      runBatch(size)
      numRequests += size
      expect(numHandles()).toBe(settled)
    }
    expect(memory().numTensors).toBe(settledTensors)
    runner.dispose()
    model.dispose()
    // Scalars such as the epsilon of norms stay with the backend.
    expect(numHandles() - before).toBeLessThanOrEqual(8)
  })

  it('frees what it made when an op fails half-way', () => {
    const random = new RandomData(51)
    const kv = pack.createKvStorage({
      dtype: 'float32',
      numLayers: 1,
      numBlocks: 2,
      blockSize: 4,
      numKvHeads: 1,
      headDim: 8,
    })
    const query = random.matrix(1, 16)
    const metadata = {
      numTokens: 1,
      numSeqs: 1,
      blockSize: 4,
      queryStartLoc: Int32Array.of(0, 1),
      seqLens: Int32Array.of(1),
      blockTables: Int32Array.of(1),
      maxBlocksPerSeq: 1,
      slotMapping: Int32Array.of(4),
      positions: Int32Array.of(0),
    }
    const options = { kv, layer: 0, metadata, numHeads: 2, scale: 1, slidingWindow: null, softcap: null, sinks: null }
    pagedAttention(query, options).dispose()
    kv.dispose()
    const [handles, { numTensors }] = [numHandles(), memory()]
    expect(() => pagedAttention(query, options)).toThrow('after dispose')
    const inside = (): unknown => tidy(() => pagedAttention(query, options))
    expect(inside).toThrow('after dispose')
    expect(numHandles()).toBe(handles)
    expect(memory().numTensors).toBe(numTensors)
    query.dispose()
  })

  it("names the op that TensorFlow refuses, and frees the scope's handles", () => {
    const backend = activeBackend()
    const before = numHandles()
    const run = (): unknown =>
      withOps(backend, (ops) =>
        ops.run('MatMul', [ops.floats(new Float32Array(6), [2, 3]), ops.floats(new Float32Array(4), [2, 2])]),
      )
    expect(run).toThrow(/op MatMul failed: .*2,3/)
    expect(() => withOps(backend, (ops) => ops.run('NoSuchOp', []))).toThrow('NoSuchOp')
    expect(numHandles()).toBe(before)
  })

  it('shares the constants of a step within a tidy and frees them at its end', () => {
    const random = new RandomData(52)
    const backend = activeBackend()
    const key = {}
    let made = 0
    const get = (): readonly number[] =>
      withOps(backend, (ops) =>
        backend.stepConstants.get(ops, key, {
          name: 'slots',
          make: (own, keep) => (made++, keep(own.deviceInts(Int32Array.of(3, 1, 4)))),
        }),
      ).shape
    const before = numHandles()
    tidy(() => {
      tidy(() => void expect(get()).toEqual([3]))
      const x = random.matrix(1, 2)
      tidy(() => void expect(get()).toEqual([3]))
      x.dispose()
      expect(made).toBe(1)
      expect(numHandles()).toBe(before + 1)
    })
    expect(numHandles()).toBe(before)
    tidy(() => void get())
    expect(made).toBe(2)
    get()
    get()
    expect(made).toBe(4)
    expect(numHandles()).toBe(before)
  })

  it('gives 16-bit tensors to tfjs as float32 ones', async () => {
    pack = await createTensorflowPack({ dtype: 'bfloat16', fusedOps })
    const before = memory().numTensors
    const x = tensor2d([
      [1, 2, 3, 4],
      [4, 3, 2, 1],
    ])
    const weight = pack.packWeight({ format: 'float32', rows: 2, cols: 4 }, (bytes) =>
      bytes.set(new Uint8Array(Float32Array.of(1, 0, 0, 0.5, 0, 0, 2, 0).buffer)),
    )
    tidy(() => {
      const product = linear(x, weight, null)
      expect(activeBackend().handleOf(product).dtype).toBe(14)
      expect([...product.dataSync()]).toEqual([3, 6, 4.5, 4])
      expect([...mul(product, scalar(0.5)).dataSync()]).toEqual([1.5, 3, 2.25, 2])
      expect([...slice(add(product, product), [0, 1], [2, 1]).dataSync()]).toEqual([12, 8])
      expect([...reshape(concat([product, x], 1), [3, 4]).dataSync()]).toEqual([3, 6, 1, 2, 3, 4, 4.5, 4, 4, 3, 2, 1])
      expect([...concat([product, product], 0).dataSync()]).toEqual([3, 6, 4.5, 4, 3, 6, 4.5, 4])
      expect([...tanh(product).dataSync()].every((value) => value > 0.99)).toBe(true)
    })
    weight.dispose()
    x.dispose()
    expect(memory().numTensors).toBe(before)
  })

  it('keeps tfjs\u2019s own ops as they are for other dtypes', () => {
    tidy(() => {
      const whole = tensor2d([[7, 8, 9]], [1, 3], 'int32')
      expect([...slice(whole, [0, 1], [1, 2]).dataSync()]).toEqual([8, 9])
      expect([...reshape(add(whole, whole), [3, 1]).dataSync()]).toEqual([14, 16, 18])
      expect(take(sub(cast(whole, 'float32'), 1))).toEqual(Float32Array.of(6, 7, 8))
    })
  })
})
