import { engine, setBackend, tidy } from '@tensorflow/tfjs-core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { expectClose } from '../../../ops/expectations.case.ts'
import { linear, linearComposite } from '../../../ops/linear.ts'
import { moe, moeComposite } from '../../../ops/moe.ts'
import type { MoeAttrs, MoeExpert } from '../../../ops/moe.ts'
import { RandomData } from '../../../ops/random-data.case.ts'
import type { WeightFormat } from '../../../tensor/dtype.ts'
import { assert } from '../../../util/assert.ts'
import type { BackendPack } from '../../backend-pack.ts'
import { spyOnBinding } from '../spied-binding.case.ts'
import { skipReason, testedBinding } from '../tensorflow-available.case.ts'
import { isTensorflowBackend } from '../tensorflow-backend.ts'
import { createTensorflowPack } from '../tensorflow-pack.ts'

const routing = { topK: 2, scoring: 'softmax', renormalize: true, activation: 'silu' } as const
const [hiddenSize, intermediateSize] = [64, 32]

function disposeAll(experts: readonly MoeExpert[]): void {
  for (const { gateUp, down } of experts) for (const weight of [...gateUp, down]) weight.dispose()
}

describe.skipIf(skipReason !== null)('moe on tensorflow', () => {
  let pack: BackendPack
  let random: RandomData

  beforeEach(async () => {
    pack = await createTensorflowPack()
    await setBackend('tensorflow')
    random = new RandomData(62)
  })

  afterEach(() => expect(pack.usedBytes).toBe(0))

  const expertOf = (format: WeightFormat): MoeExpert => ({
    gateUp: [random.weight(pack, format, [2 * intermediateSize, hiddenSize])],
    down: random.weight(pack, format, [hiddenSize, intermediateSize]),
    gateUpBias: random.floats(2 * intermediateSize),
    downBias: random.floats(hiddenSize),
  })

  function expectEqual(options: MoeAttrs): void {
    for (const n of [1, 3, 40]) {
      const [x, logits] = [random.matrix(n, hiddenSize), random.matrix(n, options.experts.length, 4)]
      expectClose(moe(x, logits, options), moeComposite(x, logits, options))
      x.dispose()
      logits.dispose()
    }
  }

  function numHandles(): number {
    assert(testedBinding !== null, 'no TensorFlow')
    return testedBinding.getNumOfTensors()
  }

  it.each(['float32', 'bfloat16', 'q4_0'] as const)('gathers %s experts on a GPU, with nothing read', (format) => {
    const backend: unknown = engine().backend
    assert(isTensorflowBackend(backend), 'the tensorflow backend is not active')
    const experts = Array.from({ length: 6 }, () => expertOf(format))
    Object.defineProperty(backend, 'isUsingGpuDevice', { value: true, configurable: true, writable: true })
    const spied = spyOnBinding(backend)
    try {
      const [x, logits] = [random.matrix(40, hiddenSize), random.matrix(40, 6, 4)]
      moe(x, logits, { ...routing, experts }).dispose()
      expect(spied.numReads).toBe(0)
      expect(spied.ops.map(({ name }) => name)).toContain('BatchMatMulV2')
      x.dispose()
      logits.dispose()
      expectEqual({ ...routing, experts })
    } finally {
      spied.restore()
      Object.defineProperty(backend, 'isUsingGpuDevice', { value: false, configurable: true, writable: true })
    }
    disposeAll(experts)
  })

  it('runs every expert where they do not stack', () => {
    const experts = [expertOf('float32'), expertOf('bfloat16'), expertOf('q8_0')]
    expectEqual({ ...routing, experts })
    const shared = expertOf('float32')
    expectEqual({ ...routing, experts: [shared, shared, shared, shared] })
    disposeAll([...experts, shared])
  })

  it('keeps a stacked weight usable alone, and frees the stack with the last', () => {
    const before = numHandles()
    for (const format of ['float32', 'float16', 'q5_0'] as const) {
      const experts = Array.from({ length: 4 }, () => expertOf(format))
      expectEqual({ ...routing, experts })
      tidy(() => {
        const x = random.matrix(3, hiddenSize)
        for (const { gateUp } of experts) {
          const [weight] = gateUp
          assert(weight !== undefined, 'an expert has a projection')
          expectClose(linear(x, weight, null), linearComposite(x, weight, null))
        }
      })
      const [first, ...rest] = experts
      assert(first !== undefined, 'there are experts')
      disposeAll([first])
      tidy(() => void linear(random.matrix(1, intermediateSize), rest[0]!.down, null))
      disposeAll(rest)
    }
    // Scalars stay with the backend.
    expect(numHandles() - before).toBeLessThanOrEqual(12)
  })
})
