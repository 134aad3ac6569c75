import {
  addN,
  getKernel,
  grads,
  memory,
  mul,
  sum,
  tensor,
  tensor2d,
  tidy,
  UnsortedSegmentSum,
  zeros,
} from '@tensorflow/tfjs-core'
import type { Rank, Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { NoGradientError } from '../errors.ts'
import type { KvLayout, KvStorage } from '../tensor/kv-storage.ts'
import type { PackedWeight } from '../tensor/packed-weight.ts'
import { registerGradients } from '../tensor/register-gradients.ts'
import { activation, activationKernel } from './activation.ts'
import { attention, attentionKernel } from './attention.ts'
import type { AttentionAttrs, AttentionInputs } from './attention.ts'
import type { AttentionMetadata } from './attention-metadata.ts'
import { embedding, embeddingKernel } from './embedding.ts'
import { expectSameBits, relativeError, take } from './expectations.case.ts'
import { gatedActivation, gatedActivationKernel } from './gated-activation.ts'
import { gatedLinear, gatedLinearKernel } from './gated-linear.ts'
import { gram, gramKernel } from './gram.ts'
import { inverseCholesky, inverseCholeskyKernel } from './inverse-cholesky.ts'
import { kvWrite, kvWriteKernel } from './kv-write.ts'
import { layerNorm, layerNormKernel } from './layer-norm.ts'
import { linear, linearKernel } from './linear.ts'
import { linearParts, linearPartsKernel } from './linear-parts.ts'
import { mapValues, mapValuesKernel } from './map-values.ts'
import { moe, moeKernel } from './moe.ts'
import { pagedAttention, pagedAttentionKernel } from './paged-attention.ts'
import { RandomData } from './random-data.case.ts'
import { addRmsNorm, addRmsNormKernel, rmsNorm, rmsNormKernel } from './rms-norm.ts'
import { rotaryEmbedding, rotaryEmbeddingKernel } from './rotary-embedding.ts'
import { sample, sampleKernel } from './sample.ts'

interface GradientCase {
  readonly name: string
  /** Shapes of the tensor inputs, with respect to each of which the op has a gradient. */
  readonly inputs: readonly (readonly number[])[]
  /** Values of the inputs, where random ones will not do. */
  readonly values?: Readonly<Record<number, ArrayLike<number>>>
  run(inputs: readonly Tensor[]): readonly Tensor[]
}

/** Makes a weight that is freed after the test. */
type MakeWeight = (rows: number, cols: number) => PackedWeight

type GradientPolicy =
  /** Has the gradients of all its tensor inputs; packed weights are constants. */
  | {
      readonly kind: 'differentiable'
      readonly cases: (weight: MakeWeight, backend: string) => readonly GradientCase[]
    }
  /** Has no tensor inputs, hence nothing to lose. */
  | { readonly kind: 'constant'; readonly create: (weight: MakeWeight) => () => Tensor2D }
  /** Throws under a tape. */
  | { readonly kind: 'refuses'; readonly run: (x: Tensor2D, kv: KvStorage) => void }

const kvLayout: KvLayout = { dtype: 'float32', numLayers: 1, numBlocks: 1, blockSize: 4, numKvHeads: 1, headDim: 4 }
const metadata: AttentionMetadata = {
  numTokens: 1,
  numSeqs: 1,
  blockSize: 4,
  queryStartLoc: Int32Array.of(0, 1),
  seqLens: Int32Array.of(1),
  blockTables: Int32Array.of(0),
  maxBlocksPerSeq: 1,
  slotMapping: Int32Array.of(0),
  positions: Int32Array.of(0),
}
const pagedOptions = { layer: 0, metadata, numHeads: 1, scale: 1, slidingWindow: null, softcap: null, sinks: null }

/** Three sequences: a whole one, keys that nobody asks for, the end of one. */
const attentionAttrs: AttentionAttrs = {
  queryStartLoc: Int32Array.of(0, 3, 3, 5),
  keyStartLoc: Int32Array.of(0, 3, 4, 8),
  numHeads: 4,
  numKvHeads: 2,
  scale: 0.7,
  isCausal: true,
  slidingWindow: null,
  softcap: null,
}

function attentionCase(name: string, change: Partial<AttentionAttrs>, hasSinks: boolean): GradientCase {
  return {
    name,
    inputs: [[5, 12], [8, 6], [8, 6], ...(hasSinks ? [[4]] : [])],
    run([query, key, value, sinks = null]) {
      const inputs = { query, key, value, sinks } as AttentionInputs
      return [attention(inputs, { ...attentionAttrs, ...change })]
    },
  }
}

function linearCases(run: (x: Tensor2D, bias: Tensor1D | null) => readonly Tensor[]): GradientCase[] {
  return [
    { name: 'with bias', inputs: [[3, 6], [8]], run: ([x, bias]) => run(x as Tensor2D, bias as Tensor1D) },
    { name: 'without bias', inputs: [[3, 6]], run: ([x]) => run(x as Tensor2D, null) },
  ]
}

const epsilon = 1e-5
const rotaryOptions = { positions: Int32Array.of(8, 3, 3), headDim: 6, rotaryDim: 4 }

function moeCases(weight: MakeWeight): GradientCase[] {
  const experts = Array.from({ length: 3 }, () => ({
    gateUp: [weight(8, 6)],
    down: weight(6, 4),
    gateUpBias: null,
    downBias: new RandomData(83).floats(6),
  }))
  const options = { experts, topK: 2, activation: 'silu' } as const
  // Far enough apart that no difference quotient changes the choice.
  const values = { 1: [1, 0, -1, -1, 2, 0.5] }
  const variants = [
    { name: 'softmax, renormalized', scoring: 'softmax', renormalize: true },
    { name: 'softmax', scoring: 'softmax', renormalize: false },
    { name: 'softmax_topk', scoring: 'softmax_topk', renormalize: false },
  ] as const
  return variants.map(({ name, ...routing }) => ({
    name,
    inputs: [
      [2, 6],
      [2, 3],
    ],
    values,
    run: ([x, logits]) => [moe(x as Tensor2D, logits as Tensor2D, { ...options, ...routing })],
  }))
}

/** What every op does under a gradient tape. One that is missing here fails `gradients.test.ts`. */
export const gradientPolicies: Readonly<Record<string, GradientPolicy>> = {
  [embeddingKernel]: {
    kind: 'constant',
    create(weight) {
      const packed = weight(5, 6)
      return () => embedding(Int32Array.of(3, 0), packed)
    },
  },
  [linearKernel]: {
    kind: 'differentiable',
    cases(weight) {
      const packed = weight(8, 6)
      return linearCases((x, bias) => [linear(x, packed, bias)])
    },
  },
  [gatedLinearKernel]: {
    kind: 'differentiable',
    cases(weight) {
      const packed = weight(8, 6)
      return linearCases((x, bias) => [gatedLinear(x, packed, { bias, kind: 'silu' })])
    },
  },
  [linearPartsKernel]: {
    kind: 'differentiable',
    cases(weight) {
      const packed = weight(8, 6)
      return linearCases((x, bias) => linearParts(x, packed, { bias, widths: [3, 5] }))
    },
  },
  [rmsNormKernel]: {
    kind: 'differentiable',
    cases: () => [
      { name: '', inputs: [[3, 6], [6]], run: ([x, w]) => [rmsNorm(x as Tensor2D, w as Tensor1D, epsilon)] },
    ],
  },
  [addRmsNormKernel]: {
    kind: 'differentiable',
    cases: () => [
      {
        name: '',
        inputs: [[3, 6], [3, 6], [6]],
        run: ([x, residual, w]) =>
          Object.values(addRmsNorm(x as Tensor2D, residual as Tensor2D, w as Tensor1D, epsilon)),
      },
    ],
  },
  [layerNormKernel]: {
    kind: 'differentiable',
    cases: () => [
      {
        name: 'with bias',
        inputs: [[3, 6], [6], [6]],
        run: ([x, w, bias]) => [layerNorm(x as Tensor2D, w as Tensor1D, bias as Tensor1D, epsilon)],
      },
      {
        name: 'without bias',
        inputs: [[3, 6], [6]],
        run: ([x, w]) => [layerNorm(x as Tensor2D, w as Tensor1D, null, epsilon)],
      },
    ],
  },
  [rotaryEmbeddingKernel]: {
    kind: 'differentiable',
    cases(_, backend) {
      // Position 3 twice, so that its row of the table gets two gradients. tfjs's wasm backend cannot add them up, and says so.
      const values = { 1: new RandomData(85).floats(36) }
      const rotate = (x: Tensor | undefined, rows: Tensor | undefined): Tensor[] => [
        rotaryEmbedding(x as Tensor2D, rows as Tensor2D, rotaryOptions),
      ]
      const ofX: GradientCase = {
        name: 'of x',
        inputs: [[3, 12]],
        run: ([x]) => tidy(() => rotate(x, tensor2d(values[1], [9, 4]))),
      }
      const ofBoth: GradientCase = {
        name: 'of x and table',
        inputs: [
          [3, 12],
          [9, 4],
        ],
        values,
        run: ([x, rows]) => rotate(x, rows),
      }
      return getKernel(UnsortedSegmentSum, backend) === undefined ? [ofX] : [ofX, ofBoth]
    },
  },
  [activationKernel]: {
    kind: 'differentiable',
    cases: () =>
      (['silu', 'gelu', 'gelu_tanh', 'relu'] as const).map((name) => ({
        name,
        inputs: [[3, 6]],
        run: ([x]) => [activation(x as Tensor2D, name)],
      })),
  },
  [gatedActivationKernel]: {
    kind: 'differentiable',
    cases: () =>
      (['silu', 'gelu', 'gelu_tanh', 'swiglu_oss'] as const).map((name) => ({
        name,
        inputs: [[3, 6]],
        run: ([x]) => [gatedActivation(x as Tensor2D, name)],
      })),
  },
  [moeKernel]: { kind: 'differentiable', cases: moeCases },
  [attentionKernel]: {
    kind: 'differentiable',
    cases: () => [
      attentionCase('causal', {}, false),
      attentionCase('not causal', { isCausal: false }, false),
      attentionCase('sliding window', { slidingWindow: 2 }, false),
      attentionCase('softcap', { softcap: 0.8 }, false),
      attentionCase('sinks', {}, true),
      attentionCase('all together', { isCausal: false, slidingWindow: 2, softcap: 0.8 }, true),
    ],
  },
  [kvWriteKernel]: {
    kind: 'refuses',
    run: (x, kv) => kvWrite(x, x, { kv, layer: 0, slotMapping: metadata.slotMapping }),
  },
  [pagedAttentionKernel]: { kind: 'refuses', run: (x, kv) => pagedAttention(x, { ...pagedOptions, kv }).dispose() },
  [mapValuesKernel]: {
    kind: 'refuses',
    run: (x) => mapValues(x, { shape: [1, 1], map() {} }).dispose(),
  },
  [gramKernel]: { kind: 'refuses', run: (x) => gram(x, new Float64Array(16)) },
  [inverseCholeskyKernel]: { kind: 'refuses', run: () => void inverseCholesky(Float64Array.of(1), 1) },
  [sampleKernel]: { kind: 'refuses', run: (x) => void sample(x, []) },
}

/** Away from 0, where `relu` and `abs` have a kink. */
function inputValues({ inputs, values }: GradientCase): Float32Array[] {
  const random = new RandomData(84)
  return inputs.map((shape, i) =>
    Float32Array.from(
      values?.[i] ??
        random
          .floats(shape.reduce((a, b) => a * b, 1))
          .map((value) => Math.sign(value) * (0.2 + 0.8 * Math.abs(value))),
    ),
  )
}

/** Weighs every output differently, so that no error cancels out. */
function probeWeights(size: number, output: number): Float32Array {
  return Float32Array.from({ length: size }, (_, i) => Math.sin(1 + i + 100 * output))
}

function tapeGradients(gradientCase: GradientCase, values: readonly Float32Array[]): Float32Array[] {
  const inputs = values.map((data, i) => tensor(data, [...gradientCase.inputs[i]!]))
  const loss = (...xs: Tensor[]): Tensor =>
    addN(gradientCase.run(xs).map((out, o) => sum(mul(out, tensor(probeWeights(out.size, o), out.shape)))))
  const gradients = grads(loss)(inputs)
  for (const input of inputs) input.dispose()
  return gradients.map((gradient) => take(gradient as Tensor2D))
}

/** Sums in float64 over what the fused kernels give: no tape is on. */
function lossOf(gradientCase: GradientCase, values: readonly Float32Array[]): number {
  const inputs = values.map((data, i) => tensor(data, [...gradientCase.inputs[i]!]))
  let loss = 0
  gradientCase.run(inputs).forEach((out, o) => {
    const weights = probeWeights(out.size, o)
    take(out as Tensor2D).forEach((value, i) => (loss += value * weights[i]!))
  })
  for (const input of inputs) input.dispose()
  return loss
}

/** Central differences of fourth order. */
function numericalGradient(gradientCase: GradientCase, values: readonly Float32Array[], input: number): Float32Array {
  const step = 0.03
  return values[input]!.map((_, i) => {
    const at = (change: number): number => {
      const moved = values.map((data) => Float32Array.from(data))
      moved[input]![i]! += change
      return lossOf(gradientCase, moved)
    }
    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
  })
}

function expectGradients(gradientCase: GradientCase): void {
  const values = inputValues(gradientCase)
  const before = memory().numTensors
  const gradients = tapeGradients(gradientCase, values)
  expect(memory().numTensors, 'tensors left').toBe(before)
  gradients.forEach((gradient, input) => {
    const expected = numericalGradient(gradientCase, values, input)
    expect(Math.max(...expected.map(Math.abs)), `input ${input} matters`).toBeGreaterThan(1e-2)
    expect(relativeError(gradient, expected), `gradient of input ${input}`).toBeLessThan(5e-4)
  })
}

/** Runs `run` where a tape records. */
function underTape(run: () => void): void {
  const x = zeros([1])
  grads((a: Tensor) => {
    run()
    return sum(a)
  })([x])[0]?.dispose()
  x.dispose()
}

/** Under a tape every op has its gradients or throws. */
export function describeGradients(getPack: () => BackendPack): void {
  describe.each(Object.entries(gradientPolicies))('%s under a gradient tape', (_, policy) => {
    const weights: PackedWeight[] = []
    const makeWeight: MakeWeight = (rows, cols) => {
      const weight = new RandomData(82 + weights.length).weight(getPack(), 'float32', [rows, cols])
      weights.push(weight)
      return weight
    }
    beforeAll(() => registerGradients())
    afterEach(() => weights.splice(0).forEach((weight) => weight.dispose()))

    if (policy.kind === 'differentiable') {
      it('has the gradients of all its inputs', () => {
        for (const gradientCase of policy.cases(makeWeight, getPack().name)) expectGradients(gradientCase)
      })
    } else if (policy.kind === 'constant') {
      it('computes the same', () => {
        const run = policy.create(makeWeight)
        const expected = take(run())
        underTape(() => expectSameBits(take(run()), expected, 'rows'))
      })
    } else {
      it('throws a NoGradientError, whatever its inputs', () => {
        const kv = getPack().createKvStorage(kvLayout)
        const x = zeros<Rank.R2>([1, 4])
        underTape(() => expect(() => policy.run(x, kv)).toThrow(NoGradientError))
        x.dispose()
        kv.dispose()
      })
    }
  })
}
