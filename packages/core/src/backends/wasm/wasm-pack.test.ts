import { BackendWasm } from '@tensorflow/tfjs-backend-wasm'
import { engine, findBackend, getBackend, setBackend } from '@tensorflow/tfjs-core'
import { Worker } from 'node:worker_threads'
import { beforeAll, describe, expect, it } from 'vitest'
import { InsufficientMemoryError } from '../../errors.ts'
import { embedding } from '../../ops/embedding.ts'
import { expectClose, expectRowInvariance, expectSameBits, take } from '../../ops/expectations.case.ts'
import { kvWrite } from '../../ops/kv-write.ts'
import { linear, linearComposite } from '../../ops/linear.ts'
import { moe } from '../../ops/moe.ts'
import { attention } from '../../ops/attention.ts'
import { describeAttentionBits } from '../../ops/attention.case.ts'
import { describeOps } from '../../ops/ops.case.ts'
import { pagedAttention, pagedAttentionComposite } from '../../ops/paged-attention.ts'
import { RandomData } from '../../ops/random-data.case.ts'
import { dequantizeRow } from '../../tensor/dequantize.ts'
import { allWeightFormats, rowBytes, weightFormats } from '../../tensor/dtype.ts'
import type { BackendPack } from '../backend-pack.ts'
import { createCpuPack } from '../cpu/cpu-pack.ts'
import { createWasmPack, wasmProvider } from './wasm-pack.ts'

describeOps('wasm', createWasmPack)
describeAttentionBits(createWasmPack)

describe('createWasmPack', () => {
  let pack: BackendPack

  beforeAll(async () => {
    pack = await createWasmPack()
    await setBackend('wasm')
  })

  it('starts once, however often and at once it is called, and activates nothing', async () => {
    await createCpuPack()
    await setBackend('cpu')
    await Promise.all([createWasmPack(), createWasmPack()])
    expect(getBackend()).toBe('cpu')
    const backend = findBackend('wasm')
    await createWasmPack()
    expect(findBackend('wasm')).toBe(backend)
    await setBackend('wasm')
    expect(engine().backend).toBe(backend)
  })

  it('says what it is', async () => {
    expect(await wasmProvider.probe()).toEqual({ available: true, detail: expect.stringContaining('3.5 GiB') })
  })

  it('refuses what its 32-bit heap cannot hold, with the numbers, and takes nothing', () => {
    const before = pack.usedBytes
    const rows = 1024 ** 2
    const tooLarge = expect.objectContaining({ requiredBytes: rows * 4096, availableBytes: 3.5 * 1024 ** 3 - before })
    const pack3GiB = (): unknown => pack.packWeight({ format: 'float32', rows, cols: 1024 }, () => {})
    expect(pack3GiB).toThrow(InsufficientMemoryError)
    expect(pack3GiB).toThrow(tooLarge)
    const layout = {
      dtype: 'float32' as const,
      numLayers: 32,
      numBlocks: 10_000,
      blockSize: 16,
      numKvHeads: 8,
      headDim: 128,
    }
    expect(() => pack.createKvStorage(layout)).toThrow(InsufficientMemoryError)
    expect(pack.usedBytes).toBe(before)
  })

  it('frees a weight whose fill fails', () => {
    const fail = (): unknown =>
      pack.packWeight({ format: 'float32', rows: 1024, cols: 1024 }, () => {
        throw new Error('the file ends here')
      })
    expect(fail).toThrow('the file ends here')
    const before = heapBytes()
    for (let i = 0; i < 50; i++) expect(fail).toThrow('the file ends here')
    expect(heapBytes()).toBe(before)
  })

  it('keeps nothing of 10,000 calls', () => {
    const random = new RandomData(1)
    const weight = random.weight(pack, 'q8_0', [24, 32])
    const down = random.weight(pack, 'float16', [32, 12])
    const experts = [0, 1].map(() => ({ gateUp: [weight], down, gateUpBias: random.floats(24), downBias: null }))
    const kv = pack.createKvStorage({
      dtype: 'float32',
      numLayers: 1,
      numBlocks: 4,
      blockSize: 4,
      numKvHeads: 1,
      headDim: 16,
    })
    const [x, rows, logits] = [random.matrix(2, 32), random.matrix(2, 16), random.matrix(2, 2)]
    const metadata = {
      numTokens: 2,
      numSeqs: 1,
      blockSize: 4,
      queryStartLoc: Int32Array.of(0, 2),
      seqLens: Int32Array.of(2),
      blockTables: Int32Array.of(3),
      maxBlocksPerSeq: 1,
      slotMapping: Int32Array.of(12, 13),
      positions: Int32Array.of(0, 1),
    }
    const options = { kv, layer: 0, metadata, numHeads: 2, scale: 1, slidingWindow: null, softcap: null, sinks: null }
    const { queryStartLoc } = metadata
    const sequence = { queryStartLoc, keyStartLoc: queryStartLoc, numHeads: 2, numKvHeads: 1, isCausal: false }
    const run = (): void => {
      kvWrite(rows, rows, { kv, layer: 0, slotMapping: metadata.slotMapping })
      const outputs = [linear(x, weight, null), embedding(Int32Array.of(1, 2), weight), pagedAttention(x, options)]
      outputs.push(attention({ query: x, key: rows, value: rows, sinks: null }, { ...options, ...sequence }))
      outputs.push(moe(x, logits, { experts, topK: 1, scoring: 'softmax', renormalize: true, activation: 'silu' }))
      for (const output of outputs) output.dispose()
    }
    // A probe joins pieces that were free apart: the first one's places are not those of the next.
    probeHeap()
    for (let i = 0; i < 100; i++) run()
    const before = probeHeap()
    for (let i = 0; i < 2000; i++) run()
    expect(probeHeap()).toEqual(before)
    for (const tensor of [x, rows, logits]) tensor.dispose()
    for (const handle of [weight, down, kv]) handle.dispose()
  })

  it('keeps its pointers when the heap grows', () => {
    const random = new RandomData(2)
    const weight = random.weight(pack, 'float32', [5, 40])
    const x = random.matrix(3, 40)
    const expected = take(linear(x, weight, null))
    const before = heapBytes()
    const large = pack.packWeight({ format: 'float32', rows: 1, cols: before / 4 }, (bytes) => bytes.fill(1))
    expect(heapBytes()).toBeGreaterThan(before)
    expectSameBits(take(linear(x, weight, null)), expected, 'after growth')
    for (const handle of [large, weight, x]) handle.dispose()
  })
})

describe('sizes beyond one tile', () => {
  it.each(['float32', 'float16', 'bfloat16', 'q8_0'] as const)(
    'linear over many panels and blocks in %s',
    async (format) => {
      const pack = await createWasmPack()
      const random = new RandomData(4)
      const cols = 20_000 // 80 kB: panels of four rows, blocks of two
      const weight = random.weight(pack, format, [11, cols])
      const x = random.matrix(7, cols)
      expectClose(linear(x, weight, null), linearComposite(x, weight, null))
      expectRowInvariance(random.floats(7 * cols), cols, (rows) => linear(rows, weight, null))
      x.dispose()
      weight.dispose()
    },
  )

  it.each([1, 3, 7, 18, 37])('attention with heads of %i', async (headDim) => {
    const pack = await createWasmPack()
    const random = new RandomData(headDim)
    for (const [blockSize, slidingWindow] of [
      [1, null],
      [3, 4],
      [5, null],
      [32, 7],
    ] as const) {
      const kv = pack.createKvStorage({
        dtype: 'float32',
        numLayers: 1,
        numBlocks: 40,
        blockSize,
        numKvHeads: 2,
        headDim,
      })
      const slots = Int32Array.from({ length: 40 * blockSize }, (_, i) => i)
      kv.writeRows(0, slots, random.floats(slots.length * 2 * headDim, 2), random.floats(slots.length * 2 * headDim))
      const metadata = {
        numTokens: 6,
        numSeqs: 2,
        blockSize,
        queryStartLoc: Int32Array.of(0, 5, 6),
        seqLens: Int32Array.of(13, 10),
        blockTables: Int32Array.from(random.permutation(40).slice(0, 26)),
        maxBlocksPerSeq: 13,
        slotMapping: new Int32Array(6),
        positions: Int32Array.of(8, 9, 10, 11, 12, 9),
      }
      const query = random.matrix(6, 6 * headDim, 2)
      const options = { kv, layer: 0, metadata, numHeads: 6, scale: 0.7, slidingWindow, softcap: null, sinks: null }
      expectClose(pagedAttention(query, options), pagedAttentionComposite(query, options))
      query.dispose()
      kv.dispose()
    }
  })
})

describe('dequantization in wasm', () => {
  it('widens every float16', async () => {
    const pack = await createWasmPack()
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i)
    const weight = pack.packWeight({ format: 'float16', rows: 1, cols: 65536 }, (bytes) =>
      bytes.set(new Uint8Array(bits.buffer)),
    )
    const [actual, expected] = [new Float32Array(65536), new Float32Array(65536)]
    weight.readRow(0, actual)
    dequantizeRow('float16', new Uint8Array(bits.buffer), 0, expected, 65536)
    // Object.is: NaN equals NaN whatever its payload, -0 differs from 0.
    expect(actual.findIndex((value, i) => !Object.is(value, expected[i]))).toBe(-1)
    weight.dispose()
  })

  it.each(allWeightFormats)('gives the values of the reference for any bytes in %s', async (format) => {
    const pack = await createWasmPack()
    const random = new RandomData(3)
    const cols = 8 * weightFormats[format].blockElements
    const [actual, expected] = [new Float32Array(cols), new Float32Array(cols)]
    for (let round = 0; round < 50; round++) {
      const stored = Uint8Array.from({ length: rowBytes(format, cols) }, () => random.integer(0, 255))
      const weight = pack.packWeight({ format, rows: 1, cols }, (bytes) => bytes.set(stored))
      weight.readRow(0, actual)
      dequantizeRow(format, stored, 0, expected, cols)
      expect(actual.findIndex((value, i) => !Object.is(value, expected[i]))).toBe(-1)
      weight.dispose()
    }
  })
})

describe('two workers', () => {
  it('start a pack each at once and compute the same bits', async () => {
    const source = `
      import { parentPort, workerData } from 'node:worker_threads'
      const [{ createBackend }, { embedding }] = await Promise.all(workerData.modules.map((url) => import(url)))
      const [{ pack }] = await Promise.all([createBackend('wasm'), createBackend('wasm')])
      const weight = pack.packWeight({ format: 'q4_0', rows: 64, cols: 64 }, (bytes) => bytes.forEach((_, i) => (bytes[i] = i % 97)))
      const { linear } = await import(workerData.modules[2])
      const x = embedding(Int32Array.from({ length: 64 }, (_, i) => i), weight)
      parentPort.postMessage([pack.name, linear(x, weight, null).dataSync()])
    `
    const modules = ['../backend.ts', '../../ops/embedding.ts', '../../ops/linear.ts'].map(
      (path) => new URL(path, import.meta.url).href,
    )
    const run = (): Promise<[string, Float32Array]> =>
      new Promise((resolve, reject) => {
        const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
          workerData: { modules },
        })
        worker.once('message', resolve)
        worker.once('error', reject)
      })
    const [[name, first], [, second]] = await Promise.all([run(), run()])
    expect(name).toBe('wasm')
    expect(first.some((value) => value !== 0)).toBe(true)
    expectSameBits(first, second, 'the two workers')
  })
})

function heapModule(): { HEAPU8: Uint8Array; _malloc(size: number): number; _free(pointer: number): void } {
  const backend: unknown = findBackend('wasm')
  if (!(backend instanceof BackendWasm)) throw new Error('the wasm backend is not running')
  // The type package of tfjs's Emscripten version does not resolve.
  return backend.wasm as unknown as ReturnType<typeof heapModule>
}

function heapBytes(): number {
  return heapModule().HEAPU8.length
}

/** The heap's size and where the next pieces of some sizes would lie: a leak moves at least one of them. */
function probeHeap(): number[] {
  const module = heapModule()
  const pointers = [16, 200, 3000, 40_000, 1_000_000].map((size) => module._malloc(size))
  for (const pointer of pointers) module._free(pointer)
  return [heapBytes(), ...pointers]
}
