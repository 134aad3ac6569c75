import type { DType } from '../../tensor/dtype.ts'
import {
  engine,
  findBackend,
  getKernel,
  registerBackend,
  registerKernel,
  unregisterKernel,
} from '@tensorflow/tfjs-core'
import { BackendUnavailableError } from '../../errors.ts'
import { assert } from '../../util/assert.ts'
import { availableMemory } from '../../util/available-memory.ts'
import type { BackendPack } from '../backend-pack.ts'
import { activationConfig, gatedActivationConfig } from './kernels/activation.ts'
import { attentionConfig } from './kernels/attention.ts'
import { embeddingConfig } from './kernels/embedding.ts'
import { kvWriteConfig } from './kernels/kv-write.ts'
import { linearConfig, linearPartsConfig } from './kernels/linear.ts'
import { moeConfig } from './kernels/moe.ts'
import { addRmsNormConfig, layerNormConfig, rmsNormConfig } from './kernels/norm.ts'
import { pagedAttentionConfig } from './kernels/paged-attention.ts'
import { rotaryEmbeddingConfig } from './kernels/rotary-embedding.ts'
import { standardConfigs } from './kernels/standard.ts'
import { loadTensorflow } from './libtensorflow/load-tensorflow.ts'
import type { LoadedTensorflow } from './libtensorflow/load-tensorflow.ts'
import { backendName, createTensorflowBackend, isTensorflowBackend } from './tensorflow-backend.ts'
import type { TensorflowBackend } from './tensorflow-backend.ts'
import { TfKvStorage } from './tf-kv-storage.ts'
import { tfDtype } from './tf-op.ts'
import { TfPackedWeight } from './tf-packed-weight.ts'
import { warmupPolicy } from './warm-up-policy.ts'

export interface TensorflowOptions {
  /**
   * Of matrix products and what goes in and out of them; with bfloat16 also of the KV cache, unless `kvCacheDtype` says
   * otherwise. Default: float32. The 16-bit ones take half the
   * memory and are what GPUs are fast at; the residual stream, norms and the softmax of attention stay float32.
   */
  readonly dtype?: DType
  /** Whether to run the fused ops that `octavo tensorflow link` compiled, where it did. Default: true. */
  readonly fusedOps?: boolean
}

const kernelConfigs = [
  embeddingConfig,
  linearConfig,
  linearPartsConfig,
  rmsNormConfig,
  addRmsNormConfig,
  layerNormConfig,
  rotaryEmbeddingConfig,
  kvWriteConfig,
  pagedAttentionConfig,
  attentionConfig,
  gatedActivationConfig,
  activationConfig,
  moeConfig,
]

/**
 * tfjs-node's backend with the fused ops as short sequences of TensorFlow's own. May be called any number of times: the
 * backend and its kernels are registered once, and the last call's options hold. Does not activate the backend.
 *
 * Results depend on the batch in their last bits: TensorFlow chooses its matrix products by shape.
 *
 * @throws BackendUnavailableError where libtensorflow or tfjs-node is missing, with the remedy.
 */
export async function createTensorflowPack({
  dtype = 'float32',
  fusedOps = true,
}: TensorflowOptions = {}): Promise<BackendPack> {
  const loaded = loadTensorflow()
  if ('reason' in loaded) throw new BackendUnavailableError(`TensorFlow: ${loaded.reason}.`)
  const backend = startBackend(loaded)
  backend.computeDtype = tfDtype[dtype]
  backend.fusedOps = fusedOps ? loaded.fusedOps.names : new Set()
  const maxMemoryBytes = deviceMemoryBytes(loaded)
  let usedBytes = 0
  const use = (sizeInBytes: number): void => {
    usedBytes += sizeInBytes
    backend.availableBytes = Math.max(0, (maxMemoryBytes ?? availableMemory()) - usedBytes)
  }
  const onDispose = (sizeInBytes: number): void => use(-sizeInBytes)
  use(0)
  return {
    name: backendName,
    isBatchInvariant: false,
    maxMemoryBytes,
    warmup: warmupPolicy(backend.isUsingGpuDevice),
    kvCacheDtypes: dtype === 'bfloat16' ? ['bfloat16', 'float32'] : ['float32', 'bfloat16'],
    get usedBytes() {
      return usedBytes
    },
    packWeight(spec, fill) {
      const weight = new TfPackedWeight(backend, spec, { fill, onDispose })
      use(weight.sizeInBytes)
      return weight
    },
    createKvStorage(layout) {
      const kv = new TfKvStorage(backend, layout, onDispose)
      use(kv.sizeInBytes)
      return kv
    },
  }
}

/** tfjs keeps one backend of a name. */
function startBackend(loaded: LoadedTensorflow): TensorflowBackend {
  if (!(backendName in engine().registryFactory)) {
    registerKernels()
    const backend = createTensorflowBackend(loaded)
    registerBackend(backendName, () => backend)
  }
  const backend: unknown = findBackend(backendName)
  assert(isTensorflowBackend(backend), 'another tfjs backend is called tensorflow')
  return backend
}

function registerKernels(): void {
  for (const config of kernelConfigs) {
    if (getKernel(config.kernelName, backendName) === undefined) registerKernel(config)
  }
  for (const config of standardConfigs()) {
    unregisterKernel(config.kernelName, backendName)
    registerKernel(config)
  }
}

/** What TensorFlow may take of the first GPU; null on CPUs, and where the binding cannot tell. */
function deviceMemoryBytes({ binding }: LoadedTensorflow): number | null {
  const gpu = binding.listDevices?.().find(({ type }) => type === 'GPU')
  return gpu === undefined || gpu.memoryBytes <= 0 ? null : gpu.memoryBytes
}
