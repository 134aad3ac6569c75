import { tensor2d } from '@tensorflow/tfjs-core'
import { beforeEach, describe, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import type { PackedFormat } from '../tensor/packed-weight.ts'
import { expectClose, expectRowInvariance, expectTensorsLeft } from './expectations.case.ts'
import { RandomData } from './random-data.case.ts'
import { moe, moeComposite } from './moe.ts'
import type { MoeAttrs, MoeExpert } from './moe.ts'
import { groupedFormats, refusalOf } from './weight-formats.case.ts'

interface MoeShape {
  readonly numExperts: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly hasBias: boolean
  readonly format: PackedFormat
  /** Keeps gate and up projection apart, the gate in this format. */
  readonly gateFormat?: PackedFormat
}

function createExperts(pack: BackendPack, random: RandomData, shape: MoeShape): MoeExpert[] {
  const { numExperts, hiddenSize, intermediateSize, hasBias, format, gateFormat } = shape
  return Array.from({ length: numExperts }, () => ({
    gateUp:
      gateFormat === undefined
        ? [random.weight(pack, format, [2 * intermediateSize, hiddenSize])]
        : [gateFormat, format].map((part) => random.weight(pack, part, [intermediateSize, hiddenSize])),
    down: random.weight(pack, format, [hiddenSize, intermediateSize]),
    gateUpBias: hasBias ? random.floats(2 * intermediateSize) : null,
    downBias: hasBias ? random.floats(hiddenSize) : null,
  }))
}

function disposeExperts(experts: readonly MoeExpert[]): void {
  for (const { gateUp, down } of experts) for (const weight of [...gateUp, down]) weight.dispose()
}

type Variant = MoeShape & Omit<MoeAttrs, 'experts'>

const base: Variant = {
  numExperts: 4,
  hiddenSize: 24,
  intermediateSize: 20,
  hasBias: false,
  format: 'float32',
  topK: 2,
  scoring: 'softmax',
  renormalize: true,
  activation: 'silu',
}
const variants: readonly (readonly [string, Variant])[] = [
  ['softmax, renormalized', base],
  ['softmax as it is', { ...base, renormalize: false, format: 'bfloat16', topK: 3 }],
  [
    'gpt-oss',
    { ...base, scoring: 'softmax_topk', renormalize: false, activation: 'swiglu_oss', hasBias: true, numExperts: 8 },
  ],
  ['one expert of many', { ...base, topK: 1, numExperts: 16, activation: 'gelu_tanh' }],
  ['all experts', { ...base, topK: 4 }],
  ['q8_0', { ...base, format: 'q8_0', hiddenSize: 64, intermediateSize: 32, hasBias: true }],
  [
    'gate in q5_1 apart from up in q4_0',
    { ...base, gateFormat: 'q5_1', format: 'q4_0', hiddenSize: 64, intermediateSize: 32, hasBias: true },
  ],
  ['int4 with zeros', { ...base, format: groupedFormats.int4, hiddenSize: 64, intermediateSize: 32, hasBias: true }],
  ['int4 with an order for each expert', { ...base, format: groupedFormats.int4Ordered, hiddenSize: 48 }],
]

/** `moe`: routing, experts, weighted sum. */
export function describeMoe(getPack: () => BackendPack): void {
  describe.each(variants)('moe, %s', (_, variant) => {
    beforeEach(({ skip }) => {
      const refusal = refusalOf(getPack(), variant.format)
      if (refusal !== null) skip(refusal)
    })

    it('equals its composite', () => {
      const random = new RandomData(40)
      const experts = createExperts(getPack(), random, variant)
      const { topK, scoring, renormalize, activation, hiddenSize, numExperts } = variant
      const options: MoeAttrs = { experts, topK, scoring, renormalize, activation }
      for (const n of [1, 2, 7, 19]) {
        const [x, routerLogits] = [random.matrix(n, hiddenSize), random.matrix(n, numExperts, 4)]
        expectClose(moe(x, routerLogits, options), moeComposite(x, routerLogits, options))
        expectTensorsLeft(() => [moe(x, routerLogits, options)])
        x.dispose()
        routerLogits.dispose()
      }
      disposeExperts(experts)
    })

    it('gives every token the same bits in any batch', ({ skip }) => {
      if (!getPack().isBatchInvariant) skip('the pack does not promise batch invariance')
      const random = new RandomData(41)
      const experts = createExperts(getPack(), random, variant)
      const { topK, scoring, renormalize, activation, hiddenSize, numExperts } = variant
      const n = 29
      const logits = random.floats(n * numExperts, 4)
      expectRowInvariance(random.floats(n * hiddenSize), hiddenSize, (x, first) => {
        const rows = x.shape[0]
        const routerLogits = tensor2d(logits.slice(first * numExperts, (first + rows) * numExperts), [rows, numExperts])
        const out = moe(x, routerLogits, { experts, topK, scoring, renormalize, activation })
        routerLogits.dispose()
        return out
      })
      disposeExperts(experts)
    })
  })
}
