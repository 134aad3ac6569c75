import { readdirSync, readFileSync } from 'node:fs'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { NativeAddon } from './native-addon.ts'
import { testedAddon, testedIsas } from './tested-isas.case.ts'

function floats(length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(i + 1))
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer)
}

/** Threads of this process, which Linux lists. */
function threadIds(): Set<string> {
  return new Set(readdirSync('/proc/self/task'))
}

/** CPU time that a thread has used, in ticks of usually 10 ms. */
function cpuTicks(threadId: string): number {
  // The name, which may hold spaces, is in parentheses; user and system time are fields 14 and 15.
  const fields = readFileSync(`/proc/self/task/${threadId}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return Number(fields[11]) + Number(fields[12])
}

describe.skipIf(testedAddon === null)('the addon', () => {
  const addon = testedAddon as NativeAddon

  it('chooses among the instruction sets of this CPU', () => {
    for (const isa of testedIsas) {
      expect(addon.setIsa(isa)).toBe(true)
      expect(addon.isa()).toBe(isa)
    }
    expect(addon.bestIsa()).toBe(testedIsas.at(-1))
    for (const isa of ['avx2', 'amx', 'neon', 'dotprod'] as const)
      expect(addon.setIsa(isa), isa).toBe(testedIsas.includes(isa))
    expect(() => Reflect.apply(addon.setIsa, addon, [7])).toThrow(TypeError)
  })

  it('checks types and lengths before it touches memory', () => {
    const pool = new addon.Pool(2)
    const matrix = pool.createMatrix('float32', 3, 4, bytesOf(floats(12)), 'float32')
    const [y, x] = [floats(6), floats(8)]
    expect(() => pool.linear(matrix, y, x, 3, null)).toThrow(RangeError)
    expect(() => pool.linear(matrix, y, x.subarray(1), 2, null)).toThrow(/x has 7 elements, not 8/)
    expect(() => pool.linear(matrix, y, x, 2, floats(2))).toThrow(/bias has 2 elements, not 3/)
    expect(() => pool.linear(matrix, y, x, 1.5, null)).toThrow(/n must be an integer/)
    expect(() => pool.linear(matrix, y, x, -1, null)).toThrow(RangeError)
    expect(() => pool.linear(matrix, y, x, NaN, null)).toThrow(RangeError)
    expect(() => Reflect.apply(pool.linear, pool, [matrix, y, new Float64Array(8), 2, null])).toThrow(TypeError)
    expect(() => Reflect.apply(pool.linear, pool, [{}, y, x, 2, null])).toThrow(/not an object of this addon/)
    expect(() => Reflect.apply(pool.linear, pool, [Object.create(matrix), y, x, 2, null])).toThrow()
    expect(() => Reflect.apply(pool.linear, {}, [matrix, y, x, 2, null])).toThrow()
    expect(() => Reflect.apply(pool.linear, pool, [])).toThrow(TypeError)
    expect(() => pool.createMatrix('q8_0', 1, 33, new Uint8Array(34), 'float32')).toThrow(/not whole blocks/)
    expect(() => pool.createMatrix('q8_0', 1, 32, new Uint8Array(33), 'float32')).toThrow(
      /bytes has 33 elements, not 34/,
    )
    expect(() => Reflect.apply(pool.createMatrix, pool, ['q9', 1, 32, new Uint8Array(34), 'int8'])).toThrow(
      /format must be one of .*q6_k, got q9/,
    )
    expect(() => Reflect.apply(pool.createMatrix, pool, [3, 1, 32, new Uint8Array(34), 'int8'])).toThrow(TypeError)
    expect(() => pool.embedding(matrix, floats(4), Int32Array.of(3))).toThrow(/row 3 is outside \[0, 3\)/)
    expect(() => matrix.readRow(-1, floats(4))).toThrow(RangeError)
    expect(() => new addon.Pool(0)).toThrow(RangeError)
    matrix.dispose()
    matrix.dispose()
    expect(() => pool.linear(matrix, y, x, 2, null)).toThrow(/after dispose/)
    pool.dispose()
    pool.dispose()
    expect(() => pool.rmsNorm(y, floats(6), floats(6), 1, 6, 0)).toThrow(/after dispose/)
  })

  it('takes no number that is none, or that no array could have', () => {
    const pool = new addon.Pool(1)
    const row = floats(6)
    for (const bad of [NaN, Infinity, -Infinity, 1e300]) {
      expect(() => pool.rmsNorm(row, row, row, 1, 6, bad), `epsilon ${bad}`).toThrow(RangeError)
      expect(() => pool.layerNorm(row, row, row, null, 1, 6, bad), `epsilon ${bad}`).toThrow(RangeError)
      expect(() => pool.copyColumns(row, row, 1, 6, bad, 1), `first ${bad}`).toThrow(RangeError)
      expect(() => pool.argmaxRows(Int32Array.of(0), row, bad), `n ${bad}`).toThrow(RangeError)
      expect(() => new addon.Pool(bad), `threads ${bad}`).toThrow(RangeError)
    }
    expect(() => pool.rmsNorm(row, row, row, 1, 6, -1)).toThrow(/epsilon must be a number from 0/)
    const none = new Float32Array(0)
    // Their product has more than 64 bits.
    expect(() => pool.rmsNorm(none, none, none, 2 ** 33, 2 ** 33, 0)).toThrow(RangeError)
    const size = 2 ** 31 - 1
    expect(() => pool.createMatrix('float32', size, size, new Uint8Array(0), 'float32')).toThrow(
      /larger than any memory/,
    )
    const kv = new addon.KvCache(1, 4, 4, 4, 'float32')
    const attend = (scale: number, softcap: number, heads = 1): void =>
      pool.pagedAttention(
        kv,
        0,
        floats(4),
        floats(4),
        Int32Array.of(0, 1),
        Int32Array.of(1),
        Int32Array.of(0),
        4,
        1,
        heads,
        4,
        scale,
        0,
        softcap,
        null,
      )
    attend(1, 0)
    for (const bad of [NaN, Infinity]) {
      expect(() => attend(bad, 0)).toThrow(RangeError)
      expect(() => attend(1, bad)).toThrow(RangeError)
      expect(() => attend(1, 0, bad)).toThrow(RangeError)
    }
    expect(() => attend(1, -1)).toThrow(RangeError)
  })

  it('draws with no parameter outside its range', () => {
    const pool = new addon.Pool(1)
    const good = {
      row: 0,
      scale: 1,
      minPOffset: 0,
      topK: 0,
      topP: 1,
      uniform: 0.5,
      repetition: 1,
      frequency: 0,
      presence: 0,
    }
    const draw = (params: Partial<typeof good>, bias = 1, mask = Int32Array.of(4)): number => {
      const out = new Int32Array(1)
      pool.sampleRows(
        out,
        floats(8),
        8,
        Float64Array.from(Object.values({ ...good, ...params })),
        Int32Array.of(0, 1),
        Int32Array.of(2),
        Float64Array.of(bias),
        new Int32Array(2),
        new Int32Array(0),
        new Int32Array(0),
        Int32Array.of(0, mask.length),
        mask,
      )
      return out[0]!
    }
    expect(draw({ minPOffset: -Infinity })).toBe(2)
    expect(draw({}, -Infinity)).toBe(-1)
    expect(draw({}, -Infinity, new Int32Array(0))).toBeGreaterThanOrEqual(0)
    expect(() => draw({}, 1, Int32Array.of(4, 0))).toThrow('mask')
    for (const name of Object.keys(good)) expect(() => draw({ [name]: NaN }), name).toThrow(RangeError)
    for (const name of Object.keys(good)) expect(() => draw({ [name]: Infinity }), name).toThrow(RangeError)
    for (const bias of [NaN, Infinity]) expect(() => draw({}, bias)).toThrow(RangeError)
    expect(() => draw({ repetition: 0 })).toThrow(RangeError)
    expect(() => draw({ topP: 0 })).toThrow(RangeError)
    expect(() => draw({ uniform: 1 })).toThrow(RangeError)
  })

  it('checks the planes of a grouped weight', () => {
    const pool = new addon.Pool(1)
    const make = (changes: { values?: number; codes?: number; order?: Int32Array; bits?: number } = {}): void =>
      pool
        .createGroupedMatrix(
          2,
          16,
          changes.bits ?? 4,
          8,
          'float16',
          floats(changes.values ?? 16),
          changes.order ?? null,
          'int8',
          new Uint8Array(changes.codes ?? 16),
          new Uint8Array(8),
          new Uint8Array(4),
        )
        .dispose()
    make()
    make({ order: new Int32Array(16).fill(1) })
    expect(() => make({ values: 15 })).toThrow(/values has 15 elements, not 16/)
    expect(() => make({ codes: 15 })).toThrow(/codes has 15 elements, not 16/)
    expect(() => make({ order: new Int32Array(16).fill(2) })).toThrow(/group 2 is outside \[0, 2\)/)
    for (const bits of [0, 9, NaN]) expect(() => make({ bits })).toThrow(RangeError)
  })

  it('does not follow tables out of the cache', () => {
    const pool = new addon.Pool(1)
    const kv = new addon.KvCache(2, 8, 4, 4, 'float32') // two blocks of 4 slots, one head of 4
    const attend = (start: number[], lens: number[], tables: number[], layer = 0): void => {
      const numTokens = start.at(-1)!
      const integers = [start, lens, tables].map((values) => Int32Array.from(values)) as [
        Int32Array,
        Int32Array,
        Int32Array,
      ]
      pool.pagedAttention(
        kv,
        layer,
        floats(numTokens * 4),
        floats(numTokens * 4),
        ...integers,
        4,
        numTokens,
        1,
        4,
        1,
        0,
        0,
        null,
      )
    }
    attend([0, 2], [5], [1, 0])
    expect(() => attend([0, 2], [5], [1, 2])).toThrow(/block 2 is outside \[0, 2\)/)
    expect(() => attend([0, 2], [5], [-1, 0])).toThrow(RangeError)
    expect(() => attend([0, 2], [9], [1, 0])).toThrow(/longer than its block table/)
    expect(() => attend([0, 2], [1], [1, 0])).toThrow(/do not fit/)
    expect(() => attend([1, 2], [5], [1, 0])).toThrow(/begin with 0/)
    expect(() => attend([0, 2], [5], [1, 0], 2)).toThrow(RangeError)
    const row = floats(4)
    expect(() => kv.writeRows(0, Int32Array.of(8), row, row)).toThrow(/slot 8 is outside \[0, 8\)/)
    expect(() => kv.writeRows(0, Int32Array.of(0, 1), row, row)).toThrow(RangeError)
    expect(() => kv.copySlots(4, 8, 4)).toThrow(RangeError)
    expect(() => kv.copySlots(0, 2, 4)).toThrow(/overlap/)
    kv.dispose()
    expect(() => attend([0, 2], [5], [1, 0])).toThrow(/after dispose/)
    expect(() => new addon.KvCache(65536, 2 ** 31 - 1, 2 ** 24, 128, 'float32')).toThrow(/larger than any memory/)
  })

  it('gives the same bits with any number of threads', () => {
    const [rows, cols, n] = [301, 160, 19]
    const [weights, x] = [floats(rows * cols), floats(n * cols)]
    const run = (threads: number): Float32Array => {
      const pool = new addon.Pool(threads)
      const matrix = pool.createMatrix('float32', rows, cols, bytesOf(weights), 'float32')
      const y = new Float32Array(n * rows)
      // Often enough that a task handed out twice, or not at all, would show.
      for (let i = 0; i < 200; i++) pool.linear(matrix, y.fill(0), x, n, null)
      matrix.dispose()
      pool.dispose()
      return y
    }
    const alone = run(1)
    for (const threads of [2, 3, 7, 16]) expect(run(threads)).toEqual(alone)
  })

  it.skipIf(process.platform !== 'linux')('sleeps when there is nothing to do', async () => {
    const before = threadIds()
    const pool = new addon.Pool(4)
    const workers = [...threadIds()].filter((id) => !before.has(id))
    expect(workers).toHaveLength(3)
    const matrix = pool.createMatrix('float32', 512, 512, bytesOf(floats(512 * 512)), 'float32')
    for (let i = 0; i < 50; i++) pool.linear(matrix, new Float32Array(512), floats(512), 1, null)
    await sleep(100)
    const used = workers.map(cpuTicks)
    await sleep(500)
    expect(workers.map(cpuTicks)).toEqual(used)
    pool.dispose()
    expect([...threadIds()].filter((id) => workers.includes(id))).toEqual([])
  })

  it('leaks nothing in millions of calls', async () => {
    const pool = new addon.Pool(1)
    const [out, x, weight] = [floats(8), floats(8), floats(8)]
    const bytes = bytesOf(floats(64 * 64))
    const churn = async (numCalls: number): Promise<void> => {
      for (let i = 0; i < numCalls; i++) {
        // Node frees what a collected handle held between turns of the event loop only: held, it splits up the heap.
        if (i % 2000 === 0) await setImmediate()
        pool.rmsNorm(out, x, weight, 1, 8, 1e-6)
        if (i % 200 === 0) pool.createMatrix('float32', 64, 64, bytes, 'float32').dispose()
        if (i % 200 === 100) new addon.KvCache(2, 64, 64, 64, 'float32').dispose()
      }
    }
    await churn(200_000)
    // V8 and the allocator now and then keep some memory for later; a leak would grow in every round.
    let growth = Infinity
    for (let round = 0; round < 3 && growth >= 64e6; round++) {
      const before = process.memoryUsage.rss()
      await churn(2_000_000)
      growth = process.memoryUsage.rss() - before
    }
    // 10,000 matrices and as many caches: what they took would be over 200 MB.
    expect(growth).toBeLessThan(64e6)
  })
})
