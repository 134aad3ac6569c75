import {
  add,
  gather,
  logSoftmax,
  matMul,
  memory,
  mul,
  neg,
  oneHot,
  reshape,
  setBackend,
  split,
  sum,
  tensor,
  tensor1d,
  tidy,
  variable,
  variableGrads,
} from '@tensorflow/tfjs-core'
import type { NamedTensorMap, Scalar, Tensor, Tensor1D, Tensor2D, Variable } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { registerGradients } from '../tensor/register-gradients.ts'
import { attention } from './attention.ts'
import { gatedActivation } from './gated-activation.ts'
import { RandomData } from './random-data.case.ts'
import { addRmsNorm, rmsNorm } from './rms-norm.ts'
import { rotaryEmbedding } from './rotary-embedding.ts'

beforeAll(async () => {
  await createCpuPack()
  await setBackend('cpu')
  await registerGradients()
})

const vocabSize = 11
const hiddenSize = 8
const intermediateSize = 6
const headDim = 4
const numHeads = 4
const numKvHeads = 2
const epsilon = 1e-5

interface Variant {
  readonly slidingWindow: number | null
  readonly softcap: number | null
  readonly hasSinks: boolean
}

/** Two sequences of 5 and 3 tokens, packed. */
const tokenIds = Int32Array.of(1, 4, 4, 9, 0, 7, 2, 7)
const targetIds = Int32Array.of(4, 4, 9, 0, 3, 2, 7, 10)
const positions = Int32Array.of(0, 1, 2, 3, 4, 0, 1, 2)
const startLoc = Int32Array.of(0, 5, 8)

type Parameters = Readonly<Record<string, Variable>>

function createParameters({ hasSinks }: Variant): Parameters {
  const random = new RandomData(90)
  const shapes: Record<string, readonly number[]> = { embed: [vocabSize, hiddenSize], norm: [hiddenSize] }
  for (const layer of [0, 1]) {
    Object.assign(shapes, {
      [`${layer}.inputNorm`]: [hiddenSize],
      [`${layer}.qkv`]: [(numHeads + 2 * numKvHeads) * headDim, hiddenSize],
      [`${layer}.qNorm`]: [headDim],
      [`${layer}.kNorm`]: [headDim],
      [`${layer}.o`]: [hiddenSize, numHeads * headDim],
      [`${layer}.postNorm`]: [hiddenSize],
      [`${layer}.gateUp`]: [2 * intermediateSize, hiddenSize],
      [`${layer}.down`]: [hiddenSize, intermediateSize],
      ...(hasSinks ? { [`${layer}.sinks`]: [numHeads] } : {}),
    })
  }
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const size = shape.reduce((a, b) => a * b, 1)
      return [name, variable(tensor(random.floats(size), [...shape]))]
    }),
  )
}

/** `rotaryDim / 2` cosines, then as many sines, per position. */
function ropeTable(): Tensor2D {
  const rows = Array.from({ length: 8 }, (_, p) => {
    const angles = [p, p * 0.1]
    return [...angles.map(Math.cos), ...angles.map(Math.sin)]
  })
  return tensor(rows) as Tensor2D
}

function normHeads(x: Tensor2D, weight: Tensor): Tensor2D {
  return reshape(rmsNorm(reshape(x, [-1, headDim]), weight as Tensor1D, epsilon), x.shape)
}

/** A decoder of two layers, its embedding also its head: the ops as a trainer uses them, with weights as variables. */
function forward(parameters: Parameters, { slidingWindow, softcap }: Variant): Tensor2D {
  const linear = (x: Tensor, name: string): Tensor2D => matMul(x, parameters[name]!, false, true)
  const weight = (name: string): Tensor1D => parameters[name]! as Tensor as Tensor1D
  const rotary = { positions, headDim, rotaryDim: headDim }
  const table = ropeTable()
  let residual = gather(parameters.embed! as Tensor as Tensor2D, tensor1d(tokenIds, 'int32'))
  for (const layer of [0, 1]) {
    const x = rmsNorm(residual, weight(`${layer}.inputNorm`), epsilon)
    const widths = [numHeads, numKvHeads, numKvHeads].map((heads) => heads * headDim)
    const [q, k, value] = split(linear(x, `${layer}.qkv`), widths, 1) as [Tensor2D, Tensor2D, Tensor2D]
    const query = rotaryEmbedding(normHeads(q, weight(`${layer}.qNorm`)), table, rotary)
    const key = rotaryEmbedding(normHeads(k, weight(`${layer}.kNorm`)), table, rotary)
    const attended = attention(
      { query, key, value, sinks: parameters[`${layer}.sinks`] === undefined ? null : weight(`${layer}.sinks`) },
      {
        queryStartLoc: startLoc,
        keyStartLoc: startLoc,
        numHeads,
        numKvHeads,
        scale: headDim ** -0.5,
        isCausal: true,
        slidingWindow,
        softcap,
      },
    )
    const { normed, sum: stream } = addRmsNorm(
      linear(attended, `${layer}.o`),
      residual,
      weight(`${layer}.postNorm`),
      epsilon,
    )
    residual = add(stream, linear(gatedActivation(linear(normed, `${layer}.gateUp`), 'silu'), `${layer}.down`))
  }
  return linear(rmsNorm(residual, weight('norm'), epsilon), 'embed')
}

function crossEntropy(logits: Tensor2D): Scalar {
  const chosen = mul(logSoftmax(logits), oneHot(tensor1d(targetIds, 'int32'), vocabSize))
  return neg(mul(sum(chosen), 1 / targetIds.length)) as Scalar
}

/** In float64, from logits that the fused kernels made: no tape is on. */
function lossOf(parameters: Parameters, variant: Variant): number {
  const logits = tidy(() => forward(parameters, variant).dataSync<'float32'>())
  let loss = 0
  targetIds.forEach((target, i) => {
    const row = logits.subarray(i * vocabSize, (i + 1) * vocabSize)
    loss += (Math.log(row.reduce((total, logit) => total + Math.exp(logit), 0)) - row[target]!) / targetIds.length
  })
  return loss
}

/** Central difference of fourth order along `direction`. */
function slopeAlong(
  parameters: Parameters,
  { name, direction, variant }: { name: string; direction: Float32Array; variant: Variant },
): number {
  const parameter = parameters[name]!
  const values = Float32Array.from(parameter.dataSync<'float32'>())
  const step = 0.02
  const at = (distance: number): number => {
    tidy(() =>
      parameter.assign(
        tensor(
          values.map((value, i) => value + distance * direction[i]!),
          parameter.shape,
        ),
      ),
    )
    return lossOf(parameters, variant)
  }
  const slope = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
  tidy(() => parameter.assign(tensor(values, parameter.shape)))
  return slope
}

function expectSlopes(parameters: Parameters, gradients: NamedTensorMap, variant: Variant): void {
  const random = new RandomData(91)
  for (const [name, parameter] of Object.entries(parameters)) {
    const gradient = gradients[parameter.name]
    expect(gradient, name).toBeDefined()
    const values = gradient!.dataSync<'float32'>()
    expect(Math.hypot(...values), name).toBeGreaterThan(1e-3)
    for (let i = 0; i < 3; i++) {
      const direction = random.floats(parameter.size)
      const slope = slopeAlong(parameters, { name, direction, variant })
      const expected = values.reduce((total, value, j) => total + value * direction[j]!, 0)
      expect(Math.abs(slope - expected), `${name}: ${slope}, ${expected}`).toBeLessThan(
        1e-4 * Math.max(1, Math.abs(expected)),
      )
    }
  }
}

describe('variableGrads through a decoder of two layers', () => {
  it.each([
    ['plain', { slidingWindow: null, softcap: null, hasSinks: false }],
    ['sliding window and softcap', { slidingWindow: 2, softcap: 1.5, hasSinks: false }],
    ['sinks', { slidingWindow: null, softcap: null, hasSinks: true }],
  ])('%s: every parameter has the gradient of finite differences', (_, variant) => {
    const parameters = createParameters(variant)
    const before = memory().numTensors
    const { value, grads } = variableGrads(() => crossEntropy(forward(parameters, variant)), Object.values(parameters))
    expect(memory().numTensors - before).toBe(1 + Object.keys(parameters).length)
    expect(value.dataSync()[0]).toBeCloseTo(lossOf(parameters, variant), 5)
    expectSlopes(parameters, grads, variant)
    for (const held of [value, ...Object.values(grads), ...Object.values(parameters)]) held.dispose()
  })
})
