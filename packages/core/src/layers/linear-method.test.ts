import {
  gather,
  keep,
  matMul,
  memory,
  mul,
  setBackend,
  tensor2d,
  tidy,
  variable,
  variableGrads,
} from '@tensorflow/tfjs-core'
import type { Scalar, Tensor1D, Tensor2D, Variable } from '@tensorflow/tfjs-core'
import { add, sum } from '@tensorflow/tfjs-core'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { loadFixture, readFixtureConfig } from '../models/load-fixture.case.ts'
import type { CausalLM } from '../models/model.ts'
import { StepRunner } from '../models/step-runner.case.ts'
import { singleRank } from './communicator.ts'
import { emptyContext } from './empty-context.case.ts'
import type { ForwardContext } from './forward-context.ts'
import { registerGradients } from '../tensor/register-gradients.ts'
import { createMergedLinear, createReplicatedLinear } from './linear.ts'
import { createLoadedLinear, moduleOf, planeNames, unquantized } from './linear-method.ts'
import type { LinearMethod, LinearMethods, LoadedLinear, MethodLoader } from './linear-method.ts'
import { MemoryWeights, randomValues } from './memory-weights.case.ts'
import { WeightLoader } from './weight-loader.ts'

const ids = [5, 250, 33, 17, 99, 480, 2]

let pack: BackendPack
beforeAll(async () => {
  pack = await createCpuPack()
  await registerGradients()
  await setBackend('cpu')
})
afterEach(() => {
  expect(pack.usedBytes).toBe(0)
})

interface Seen {
  readonly modules: readonly string[]
  readonly rows: number
  readonly features: number
  readonly tokens: Int32Array | null
}

/** Watches what goes into every weight, and changes nothing. */
function recording(base: LinearMethod, seen: Seen[]): LinearMethod {
  const watch = (loaded: LoadedLinear, names: readonly string[]): LoadedLinear =>
    createLoadedLinear((x, bias, context) => {
      seen.push({ modules: names.map(moduleOf), rows: x.shape[0], features: x.shape[1], tokens: context.tokens })
      return loaded.apply(x, bias, context)
    })
  return {
    canMerge: (loader, names) => base.canMerge(loader, names),
    load: (loader, selection) => watch(base.load(loader, selection), selection.names),
    loadEmbedding(loader, selection) {
      const loaded = base.loadEmbedding(loader, selection)
      return { ...watch(loaded, selection.names), embed: (tokenIds, context) => loaded.embed(tokenIds, context) }
    },
  }
}

/** Loads the weight as float32 values, `factor` times as large, and multiplies by tfjs's own ops. */
function scaledBy(factor: number): LinearMethod {
  const load: LinearMethod['load'] = (loader, selection) => {
    const table = read(loader, selection)
    return createLoadedLinear((x, bias) => {
      const product: Tensor2D = matMul(x, table, false, true)
      return bias === null ? product : add<Tensor2D>(product, bias)
    })
  }
  const read = (loader: MethodLoader, selection: Parameters<LinearMethod['load']>[1]): Tensor2D => {
    const values = loader.hostMatrix(selection)
    const cols = selection.cols === undefined ? selection.expectedShape[1] : selection.cols.end - selection.cols.start
    const table = keep(
      tensor2d(
        values.map((value) => factor * value),
        [values.length / cols, cols],
      ),
    )
    loader.own(table, values.byteLength)
    return table
  }
  return {
    canMerge: () => false,
    load,
    loadEmbedding(loader, selection) {
      const table = read(loader, selection)
      const linear = createLoadedLinear((x) => matMul(x, table, false, true))
      return { ...linear, embed: (tokenIds) => gather(table, tokenIds as unknown as Tensor1D) }
    },
  }
}

function logitsOf(model: CausalLM): Float32Array {
  const runner = new StepRunner(model, pack)
  const rows = runner.step([{ sequence: runner.add(ids), numTokens: ids.length }], 'last')
  runner.dispose()
  return rows[0]!
}

function expectClose(actual: Float32Array, expected: Float32Array, tolerance = 1e-5): void {
  const scale = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
  actual.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThanOrEqual(tolerance * scale))
}

describe('a method that wraps another', () => {
  it.each(['gpt-oss', 'qwen3-moe'])(
    'sees the inputs of every weight of %s, experts, router and head too',
    async (folder) => {
      const { numTensors } = memory()
      const plain = await loadFixture(folder, { pack })
      const expected = logitsOf(plain)
      const seen: Seen[] = []
      const asked = new Map<string, string>()
      const method = recording(unquantized, seen)
      const linearMethods: LinearMethods = (module, role) => {
        asked.set(module, role)
        return method
      }
      const model = await loadFixture(folder, { pack, linearMethods })
      expectClose(logitsOf(model), expected)
      const { hiddenSize, moe } = readFixtureConfig(folder)
      const modules = new Set(seen.flatMap((call) => call.modules))
      const isMoe = moe!.layers[0] ?? true
      for (const part of ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj'])
        expect(modules).toContain(`model.layers.0.${part}`)
      expect(asked.get('lm_head')).toBe('head')
      expect(asked.get('model.embed_tokens')).toBe('embedding')
      expect([...asked.values()]).toContain('router')
      expect(isMoe).toBe(true)
      // Each of the head's rows and of an expert's says which token of the batch it is.
      const head = seen.find((call) => call.modules[0] === 'lm_head')
      expect(head).toMatchObject({ rows: 1, features: hiddenSize, tokens: Int32Array.of(ids.length - 1) })
      const ups = seen.filter(({ modules: [module] }) =>
        /^model\.layers\.0\..*experts\.\d+\.(gate|gate_up)_proj$/.test(module!),
      )
      expect(ups.length).toBeGreaterThan(1)
      for (const { rows, tokens } of ups) expect(tokens?.length).toBe(rows)
      const routed = ups.flatMap(({ tokens }) => [...tokens!]).sort((a, b) => a - b)
      expect(routed).toEqual(ids.flatMap((_, token) => Array<number>(moe!.numExpertsPerToken).fill(token)))
      plain.dispose()
      model.dispose()
      expect(memory().numTensors).toBe(numTensors)
    },
  )

  it('sees a tied head by the embedding', async () => {
    const seen: Seen[] = []
    const method = recording(unquantized, seen)
    const [plain, model] = [
      await loadFixture('llama-tied-llama3rope', { pack }),
      await loadFixture('llama-tied-llama3rope', { pack, linearMethods: () => method }),
    ]
    expect(logitsOf(model)).toEqual(logitsOf(plain))
    expect(seen.at(-1)!.modules).toEqual(['model.embed_tokens'])
    plain.dispose()
    model.dispose()
  })
})

describe('a method of its own', () => {
  it.each(['llama', 'gpt2', 'mixtral', 'gpt-oss'])('computes all of %s by standard ops', async (folder) => {
    const { numTensors } = memory()
    const own = scaledBy(1)
    const plain = await loadFixture(folder, { pack })
    const model = await loadFixture(folder, {
      pack,
      linearMethods: (_, role) => (role === 'embedding' ? unquantized : own),
    })
    expectClose(logitsOf(model), logitsOf(plain))
    plain.dispose()
    model.dispose()
    expect(memory().numTensors).toBe(numTensors)
  })

  it('may hold doubled weights where it is chosen, by module', async () => {
    const plain = await loadFixture('llama', { pack })
    const doubled = scaledBy(2)
    const model = await loadFixture('llama', {
      pack,
      linearMethods: (module) => (module === 'lm_head' ? doubled : unquantized),
    })
    expectClose(
      logitsOf(model),
      logitsOf(plain).map((value) => 2 * value),
    )
    plain.dispose()
    model.dispose()
  })
})

describe('merged layers', () => {
  const source = new MemoryWeights({
    'gate.weight': { shape: [4, 8], values: randomValues(32, 1) },
    'up.weight': { shape: [4, 8], values: randomValues(32, 2) },
    'gate.bias': { shape: [4], values: randomValues(4, 3) },
    'up.bias': { shape: [4], values: randomValues(4, 4) },
  })
  const options = {
    tensors: [
      { prefix: 'gate', outFeatures: 4 },
      { prefix: 'up', outFeatures: 4 },
    ],
    parts: [
      { start: 0, end: 4 },
      { start: 4, end: 8 },
    ],
    inFeatures: 8,
    hasBias: true,
  }
  const x = randomValues(24, 5)

  function gated(linearMethods: LinearMethods): Float32Array {
    const loader = new WeightLoader({ source, pack, dtype: 'auto', communicator: singleRank, linearMethods })
    const layer = createMergedLinear(loader, options)
    const values = tidy(() =>
      layer
        .forwardGated(tensor2d(x, [3, 8]), 'silu', emptyContext())
        .dataSync<'float32'>()
        .slice(),
    )
    loader.dispose()
    return values
  }

  it('stay apart where their methods differ or cannot merge, with the same bits', () => {
    const loads: (readonly string[])[] = []
    const counting = (canMerge: boolean): LinearMethod => ({
      ...unquantized,
      canMerge: () => canMerge,
      load(loader, selection) {
        loads.push(selection.names)
        return unquantized.load(loader, selection)
      },
    })
    const expected = gated(() => unquantized)
    const one = counting(true)
    expect(gated(() => one)).toEqual(expected)
    expect(loads.splice(0)).toEqual([['gate.weight', 'up.weight']])
    const apart = counting(false)
    expect(gated(() => apart)).toEqual(expected)
    expect(loads.splice(0)).toEqual([['gate.weight'], ['up.weight']])
    expect(gated((module) => (module === 'up' ? one : unquantized))).toEqual(expected)
    expect(loads).toEqual([['up.weight']])
  })
})

describe('planeNames', () => {
  it('gives the tensors beside the weights', () => {
    expect(planeNames({ names: ['a.b.weight', 'c.weight'], expectedShape: [2, 2] }, 'scales')).toEqual([
      'a.b.scales',
      'c.scales',
    ])
  })
})

describe('training', () => {
  it('gets gradients of a weight that is a variable', () => {
    const { numTensors } = memory()
    let weight: Variable | null = null
    const trained: LinearMethod = {
      ...unquantized,
      load(loader, selection) {
        const [rows, cols] = selection.expectedShape
        const made = tidy(() => variable(tensor2d(loader.hostMatrix(selection), [rows, cols])))
        loader.own(made, 4 * made.size)
        weight = made
        return createLoadedLinear((x) => matMul(x, made as unknown as Tensor2D, false, true))
      },
    }
    const source = new MemoryWeights({ 'a.weight': { shape: [2, 3], values: Float32Array.of(1, 2, 3, 4, 5, 6) } })
    const loader = new WeightLoader({
      source,
      pack,
      dtype: 'auto',
      communicator: singleRank,
      linearMethods: () => trained,
    })
    const layer = createReplicatedLinear(loader, { prefix: 'a', inFeatures: 3, outFeatures: 2, hasBias: false })
    const context: ForwardContext = emptyContext()
    const { value, grads } = variableGrads((): Scalar => {
      const y = layer.forward(tensor2d([1, 2, 3], [1, 3]), context)
      return sum(mul(y, tensor2d([1, 10], [1, 2])))
    })
    expect(value.dataSync()[0]).toBe(14 + 320)
    expect([...grads[weight!['name']]!.dataSync()]).toEqual([1, 2, 3, 10, 20, 30])
    value.dispose()
    for (const gradient of Object.values(grads)) gradient.dispose()
    loader.dispose()
    expect(memory().numTensors).toBe(numTensors)
  })
})
