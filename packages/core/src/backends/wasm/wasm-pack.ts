import { BackendWasm } from '@tensorflow/tfjs-backend-wasm'
import {
  engine,
  findBackend,
  findBackendFactory,
  getKernel,
  registerBackend,
  registerKernel,
  removeBackend,
} from '@tensorflow/tfjs-core'
import { BackendUnavailableError, InsufficientMemoryError } from '../../errors.ts'
import { kvBytesPerToken } from '../../tensor/kv-storage.ts'
import { describeFormat, weightBytes } from '../../tensor/packed-weight.ts'
import { assert } from '../../util/assert.ts'
import type { BackendPack, BackendProvider } from '../backend-pack.ts'
import { activationConfig, gatedActivationConfig } from './bindings/activation.ts'
import { attentionConfig } from './bindings/attention.ts'
import { embeddingConfig } from './bindings/embedding.ts'
import { kvWriteConfig } from './bindings/kv-write.ts'
import { layerNormConfig } from './bindings/layer-norm.ts'
import { linearConfig } from './bindings/linear.ts'
import { moeConfig } from './bindings/moe.ts'
import { pagedAttentionConfig } from './bindings/paged-attention.ts'
import { addRmsNormConfig, rmsNormConfig } from './bindings/rms-norm.ts'
import { rotaryEmbeddingConfig } from './bindings/rotary-embedding.ts'
import { maxHeapBytes } from './wasm-heap.ts'
import { canRunKernels } from './wasm-kernels.ts'
import { WasmKvStorage } from './wasm-kv-storage.ts'
import { WasmPackedWeight } from './wasm-packed-weight.ts'
import { runtimeOf } from './wasm-runtime.ts'

const backendName = 'wasm'

/** What the heap keeps for activations, scratch and tfjs itself. */
const activationReserveBytes = 512 * 1024 ** 2
const maxMemoryBytes = maxHeapBytes - activationReserveBytes

/** Every fused kernel of the wasm backend. */
export const wasmKernelConfigs = [
  embeddingConfig,
  linearConfig,
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
 * Kernels in WebAssembly with 128-bit SIMD that work in place on the tensors of tfjs's own `wasm` backend; weights and KV cache lie
 * in the same heap of at most 4 GiB. May be called any number of times; the kernels are registered once. Does not
 * activate the backend.
 *
 * @throws BackendUnavailableError when the JavaScript engine lacks WebAssembly SIMD or tfjs's backend cannot start.
 */
export async function createWasmPack(): Promise<BackendPack> {
  const runtime = runtimeOf(await startBackend())
  for (const config of wasmKernelConfigs) {
    if (getKernel(config.kernelName, config.backendName) === undefined) registerKernel(config)
  }
  let usedBytes = 0
  const checkBudget = (sizeInBytes: number, purpose: string): void => {
    if (usedBytes + sizeInBytes > maxMemoryBytes) throw overBudget(sizeInBytes, maxMemoryBytes - usedBytes, purpose)
  }
  const release = (sizeInBytes: number): void => void (usedBytes -= sizeInBytes)
  return {
    name: backendName,
    isBatchInvariant: true,
    maxMemoryBytes,
    kvCacheDtypes: ['float32'],
    get usedBytes() {
      return usedBytes
    },
    packWeight(spec, fill) {
      checkBudget(weightBytes(spec), `a ${describeFormat(spec.format)} weight [${spec.rows}, ${spec.cols}]`)
      const weight = new WasmPackedWeight(runtime, spec, fill, release)
      usedBytes += weight.sizeInBytes
      return weight
    },
    createKvStorage(layout) {
      assert(layout.dtype === 'float32', `the wasm backend has no KV cache in ${layout.dtype}`)
      checkBudget(
        layout.numBlocks * layout.blockSize * kvBytesPerToken(layout),
        `a KV cache of ${layout.numBlocks} blocks`,
      )
      const kv = new WasmKvStorage(runtime.heap, layout, release)
      usedBytes += kv.sizeInBytes
      return kv
    },
  }
}

/** tfjs's backend, started if need be, without activating it: `setBackend` would, for the time of its start at least. */
async function startBackend(): Promise<BackendWasm> {
  if (!canRunKernels())
    throw new BackendUnavailableError('This JavaScript engine has no WebAssembly SIMD. Choose the cpu backend.')
  if (!(backendName in engine().registry)) {
    const started = await startFresh()
    // Somebody else may have been faster while ours was starting: tensors may lie in theirs already.
    if (!(backendName in engine().registry)) {
      removeBackend(backendName)
      registerBackend(backendName, () => started, 2)
    }
  }
  const backend: unknown = findBackend(backendName)
  if (backend instanceof BackendWasm) return backend
  throw new BackendUnavailableError(
    'The tfjs backend "wasm" is not that of @tensorflow/tfjs-backend-wasm. Load Octavo before the library that replaces it.',
  )
}

async function startFresh(): Promise<BackendWasm> {
  try {
    const backend: unknown = await findBackendFactory(backendName)?.()
    if (backend instanceof BackendWasm) return backend
  } catch (error) {
    throw new BackendUnavailableError("TensorFlow.js's wasm backend could not be started. Choose the cpu backend.", {
      cause: error,
    })
  }
  throw new BackendUnavailableError(
    '@tensorflow/tfjs-backend-wasm is not registered with TensorFlow.js. Choose the cpu backend.',
  )
}

function overBudget(requiredBytes: number, availableBytes: number, purpose: string): InsufficientMemoryError {
  return new InsufficientMemoryError(
    `The wasm backend has no room for ${purpose}: ${requiredBytes} bytes are needed, ${availableBytes} of its ${maxMemoryBytes} bytes for weights and KV cache are left. Use a smaller or quantized model or fewer KV blocks, or a backend without this limit (cpu).`,
    requiredBytes,
    availableBytes,
  )
}

export const wasmProvider: BackendProvider = {
  name: backendName,
  priority: 10,
  async probe() {
    const available = canRunKernels()
    const limit = `weights and KV cache up to ${maxMemoryBytes / 1024 ** 3} GiB`
    return {
      available,
      detail: available
        ? `WebAssembly with SIMD, one thread, ${limit}`
        : 'this JavaScript engine has no WebAssembly SIMD',
    }
  },
  create: createWasmPack,
}
