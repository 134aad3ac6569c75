import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu'
import { findBackend, getKernel, registerKernel } from '@tensorflow/tfjs-core'
import { allKvDTypes } from '../../tensor/kv-storage.ts'
import { assert } from '../../util/assert.ts'
import type { BackendPack, BackendProvider } from '../backend-pack.ts'
import { CpuKvStorage } from './cpu-kv-storage.ts'
import { CpuPackedWeight } from './cpu-packed-weight.ts'
import { activationKernelConfig } from './kernels/activation.ts'
import { attentionKernelConfig } from './kernels/attention.ts'
import { embeddingKernelConfig } from './kernels/embedding.ts'
import { gatedActivationKernelConfig } from './kernels/gated-activation.ts'
import { kvWriteKernelConfig } from './kernels/kv-write.ts'
import { layerNormKernelConfig } from './kernels/layer-norm.ts'
import { linearKernelConfig } from './kernels/linear.ts'
import { moeKernelConfig } from './kernels/moe.ts'
import { pagedAttentionKernelConfig } from './kernels/paged-attention.ts'
import { addRmsNormKernelConfig, rmsNormKernelConfig } from './kernels/rms-norm.ts'
import { rotaryEmbeddingKernelConfig } from './kernels/rotary-embedding.ts'

/** Every fused kernel of the cpu backend. */
export const cpuKernels = [
  embeddingKernelConfig,
  linearKernelConfig,
  rmsNormKernelConfig,
  addRmsNormKernelConfig,
  layerNormKernelConfig,
  rotaryEmbeddingKernelConfig,
  kvWriteKernelConfig,
  pagedAttentionKernelConfig,
  attentionKernelConfig,
  gatedActivationKernelConfig,
  activationKernelConfig,
  moeKernelConfig,
]

/**
 * The reference pack: plain typed-array kernels on tfjs's own `cpu` backend. May be called any number of times; the
 * kernels are registered once. Does not activate the backend.
 */
export async function createCpuPack(): Promise<BackendPack> {
  silenceBanner()
  for (const config of cpuKernels) {
    if (getKernel(config.kernelName, config.backendName) === undefined) registerKernel(config)
  }
  let usedBytes = 0
  const release = (sizeInBytes: number): void => void (usedBytes -= sizeInBytes)
  return {
    name: 'cpu',
    isBatchInvariant: true,
    maxMemoryBytes: null,
    kvCacheDtypes: allKvDTypes,
    get usedBytes() {
      return usedBytes
    },
    packWeight(spec, fill) {
      const weight = new CpuPackedWeight(spec, fill, release)
      usedBytes += weight.sizeInBytes
      return weight
    },
    createKvStorage(layout) {
      const kv = new CpuKvStorage(layout, release)
      usedBytes += kv.sizeInBytes
      return kv
    },
  }
}

export const cpuProvider: BackendProvider = {
  name: 'cpu',
  priority: 0,
  probe: async () => ({ available: true, detail: 'plain JavaScript, runs everywhere' }),
  create: createCpuPack,
}

/** On its first tensor tfjs advises to install tfjs-node: advice to Octavo's author rather than to its users. */
function silenceBanner(): void {
  const backend = findBackend('cpu')
  assert(backend instanceof MathBackendCPU, "tfjs's cpu backend is not registered")
  // The flag is private in tfjs's types; without it the banner would be printed once more, nothing else.
  Reflect.set(backend, 'firstUse', false)
}
