import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { engine, setBackend } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { assert } from '../../util/assert.ts'
import { loadTensorflow } from './libtensorflow/load-tensorflow.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import { withOps } from './op-scope.ts'
import type { OpScope } from './op-scope.ts'
import { isTensorflowBackend, readFloats } from './tensorflow-backend.ts'
import type { TensorflowBackend } from './tensorflow-backend.ts'
import { createTensorflowPack } from './tensorflow-pack.ts'
import { asTfKv } from './tensorflow-kernel.ts'

const loaded = loadTensorflow()
const missing = 'reason' in loaded ? loaded.reason : loaded.fusedOps.missing

function activeBackend(): TensorflowBackend {
  const backend: unknown = engine().backend
  assert(isTensorflowBackend(backend), 'the tensorflow backend is not active')
  return backend
}

const layout = { dtype: 'float32' as const, numLayers: 1, numBlocks: 3, blockSize: 4, numKvHeads: 2, headDim: 8 }
/** Four heads over two of keys; one sequence of six tokens in blocks 2 and 1, of which the last two are queries. */
const plan = { numbers: [4, 2, 8, 4, 0, 1, 2], starts: [0, 2], lengths: [6], blocks: [2, 1] }
type PlanParts = typeof plan

describe.skipIf(missing !== null)(`the fused ops (${missing ?? 'loaded'})`, () => {
  beforeAll(async () => {
    await createTensorflowPack()
    await setBackend('tensorflow')
  })

  /** Runs raw ops on a cache of its own and expects every handle back. */
  async function onCache(run: (ops: OpScope, kv: ReturnType<typeof asTfKv>) => void): Promise<void> {
    const kv = asTfKv((await createTensorflowPack()).createKvStorage(layout))
    const before = activeBackend().binding.getNumOfTensors()
    try {
      withOps(activeBackend(), (ops) => run(ops, kv))
      expect(activeBackend().binding.getNumOfTensors()).toBe(before)
    } finally {
      kv.dispose()
    }
  }

  function attend(ops: OpScope, kv: ReturnType<typeof asTfKv>, parts: Partial<PlanParts>, width = 32): TfeTensor {
    const { numbers, starts, lengths, blocks } = { ...plan, ...parts }
    const query = ops.floats(new Float32Array(2 * width).fill(0.5), [2, width])
    const integers = ops.deviceInts(Int32Array.from([...numbers, ...starts, ...lengths, ...blocks]))
    return kv.attend(ops, 0, { query, rest: [integers, ops.floats(Float32Array.of(1, 0))] })
  }

  it('attend to what was written', () =>
    onCache((ops, kv) => {
      const slots = ops.deviceInts(Int32Array.of(8, 9, 10, 11, 4, 5))
      const rows = Float32Array.from({ length: 6 * 16 }, (_, i) => Math.floor(i / 16))
      kv.write(ops, 0, { slots, keys: ops.floats(new Float32Array(96), [6, 16]), values: ops.floats(rows, [6, 16]) })
      const expected = [...Array(32).fill(2), ...Array(32).fill(2.5)]
      readFloats(ops, attend(ops, kv, {})).forEach((value, i) => expect(value).toBeCloseTo(expected[i], 5))
    }))

  it.each<[string, Partial<PlanParts>, number?]>([
    ['a block beyond the cache', { blocks: [2, 3] }],
    ['a block before it', { blocks: [-1, 1] }],
    ['a sequence longer than its blocks', { lengths: [9] }],
    ['a sequence shorter than its rows', { lengths: [1] }],
    ['rows that do not cover the queries', { starts: [0, 1] }],
    ['rows that start elsewhere', { starts: [1, 2] }],
    ['more sequences than it describes', { numbers: [4, 2, 8, 4, 0, 2, 2] }],
    ['a huge number of sequences', { numbers: [4, 2, 8, 4, 0, 2 ** 31 - 1, 2 ** 31 - 1] }],
    ['no heads', { numbers: [0, 0, 8, 4, 0, 1, 2] }],
    ['heads of no size', { numbers: [4, 2, 0, 4, 0, 1, 2] }],
    ['heads of another size', { numbers: [4, 2, 16, 4, 0, 1, 2] }, 64],
    ['blocks of no size', { numbers: [4, 2, 8, 0, 0, 1, 2] }],
    ['a negative window', { numbers: [4, 2, 8, 4, -1, 1, 2] }],
    ['queries of another width', {}, 16],
  ])('refuse a plan with %s', (_, parts, width = 32) =>
    onCache((ops, kv) => {
      expect(() => attend(ops, kv, parts, width)).toThrow(/op OctavoPagedAttention failed/)
      expect(attend(ops, kv, {}).shape).toEqual([2, 32])
    }),
  )

  it('refuse slots outside the cache, the one of zeros included', () =>
    onCache((ops, kv) => {
      const row = ops.floats(new Float32Array(16).fill(7), [1, 16])
      const zeros = readFloats(ops, kv.gatherKeys(ops, 0, ops.deviceInts(kv.rowsOf(Int32Array.of(11, 12)))))
      for (const slot of [-1, 12, 2 ** 30]) {
        const slots = ops.deviceInts(Int32Array.of(slot))
        expect(() => kv.write(ops, 0, { slots, keys: row, values: row })).toThrow(`slot ${slot} of 12`)
      }
      expect(zeros.every((value) => value === 0)).toBe(true)
      const two = ops.deviceInts(Int32Array.of(1, 2))
      expect(() => kv.write(ops, 0, { slots: two, keys: row, values: row })).toThrow('2 slots for rows [1,16]')
    }))

  it('refuse shapes that do not fit', () =>
    onCache((ops) => {
      const x = ops.floats(new Float32Array(16), [2, 8])
      const int = (value: number): TfeTensor => ops.hostInt(value)
      const wrong: [string, TfeTensor[]][] = [
        ['OctavoLinear', [x, ops.floats(new Float32Array(12), [4, 3])]],
        ['OctavoLinearBias', [x, x, ops.floats(new Float32Array(3))]],
        ['OctavoRmsNorm', [x, ops.floats(new Float32Array(7)), ops.floats(new Float32Array(1))]],
        ['OctavoGatedActivation', [x, int(3)]],
        ['OctavoGatedActivation', [x, int(-1)]],
        ['OctavoRotaryEmbedding', [x, x, ops.deviceInts(Int32Array.of(0, 2)), int(8)]],
        ['OctavoRotaryEmbedding', [x, x, ops.deviceInts(Int32Array.of(0, -1)), int(8)]],
        ['OctavoRotaryEmbedding', [x, x, ops.deviceInts(Int32Array.of(0, 1)), int(0)]],
        ['OctavoRotaryEmbedding', [x, x, ops.deviceInts(Int32Array.of(0, 1)), int(4)]],
      ]
      for (const [name, inputs] of wrong) expect(() => ops.run(name, inputs)).toThrow(`op ${name} failed`)
      expect(() => ops.runMany('OctavoAddRmsNorm', [x, x, x, x], { numOutputs: 2 })).toThrow('OctavoAddRmsNorm')
      expect(ops.run('OctavoLinear', [ops.floats(new Float32Array(0), [0, 8]), x]).shape).toEqual([0, 2])
    }))

  it.skipIf(process.arch !== 'x64')('compute the same with every instruction set', { timeout: 120_000 }, () => {
    const program = fileURLToPath(new URL('fused-ops-program.case.ts', import.meta.url))
    const [reference = [], ...others] = ['baseline', 'avx2', 'avx512'].map((isa) => {
      const env = { ...process.env, OCTAVO_TENSORFLOW_ISA: isa, TF_CPP_MIN_LOG_LEVEL: '2' }
      return JSON.parse(execFileSync(process.execPath, [program], { encoding: 'utf8', env })) as number[]
    })
    expect(reference.length).toBeGreaterThan(1000)
    for (const values of others) {
      expect(values.length).toBe(reference.length)
      values.forEach((value, i) => expect(Math.abs(value - reference[i]!)).toBeLessThan(1e-4))
    }
  })
})
