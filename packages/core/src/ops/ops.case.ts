import { getKernel, setBackend } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { activationKernel } from './activation.ts'
import { describeAttention } from './attention.case.ts'
import { attentionKernel } from './attention.ts'
import { embeddingKernel } from './embedding.ts'
import { gatedActivationKernel } from './gated-activation.ts'
import { kvWriteKernel } from './kv-write.ts'
import { layerNormKernel } from './layer-norm.ts'
import { linearKernel } from './linear.ts'
import { moeKernel } from './moe.ts'
import { pagedAttentionKernel } from './paged-attention.ts'
import { addRmsNormKernel, rmsNormKernel } from './rms-norm.ts'
import { rotaryEmbeddingKernel } from './rotary-embedding.ts'
import { describeElementwiseOps } from './elementwise-ops.case.ts'
import { describeGradients } from './gradients.case.ts'
import { describeKvStorage } from './kv-storage.case.ts'
import { describeMoe } from './moe.case.ts'
import { describePagedAttention } from './paged-attention.case.ts'
import { describeSolverOps } from './solver-ops.case.ts'
import { describeWeightOps } from './weight-ops.case.ts'

/** What a backend may leave out. */
export interface DescribeOpsOptions {
  /** Fused kernels that the backend leaves to the composite on purpose. */
  readonly withoutKernels?: readonly string[]
}

const opKernels = [
  embeddingKernel,
  linearKernel,
  rmsNormKernel,
  addRmsNormKernel,
  layerNormKernel,
  rotaryEmbeddingKernel,
  kvWriteKernel,
  pagedAttentionKernel,
  attentionKernel,
  gatedActivationKernel,
  activationKernel,
  moeKernel,
]

/**
 * The conformance suite that every backend pack runs: fused equals composite on random shapes, in place means in
 * place, nothing leaks, and results do not depend on the batch, bit for bit.
 */
export function describeOps(
  name: string,
  createPack: () => Promise<BackendPack>,
  { withoutKernels = [] }: DescribeOpsOptions = {},
): void {
  describe(`fused ops on ${name}`, () => {
    let pack: BackendPack
    const getPack = (): BackendPack => pack

    beforeAll(async () => {
      pack = await createPack()
      expect(await setBackend(pack.name)).toBe(true)
    })

    it('has registered its kernels', () => {
      const missing = opKernels.filter((kernel) => getKernel(kernel, pack.name) === undefined)
      expect(missing.sort()).toEqual([...withoutKernels].sort())
    })

    describeWeightOps(getPack)
    describeElementwiseOps(getPack)
    describeKvStorage(getPack)
    describePagedAttention(getPack)
    describeAttention(getPack)
    describeMoe(getPack)
    describeSolverOps()
    describeGradients(getPack)
  })
}
