import {
  engine,
  findBackend,
  getKernelsForBackend,
  Identity,
  registerBackend,
  registerKernel,
  Reshape,
} from '@tensorflow/tfjs-core'
import type { KernelFunc } from '@tensorflow/tfjs-core'
import { allKvDTypes, assert, BackendUnavailableError, InvalidConfigError } from '@octavo/core/backend'
import type { BackendPack } from '@octavo/core/backend'
import { activationConfig, gatedActivationConfig } from './kernels/activation.ts'
import { attentionConfig } from './kernels/attention.ts'
import { concatConfig } from './kernels/concat.ts'
import { embeddingConfig } from './kernels/embedding.ts'
import { gatherConfig } from './kernels/gather.ts'
import { gatedLinearConfig } from './kernels/gated-linear.ts'
import { gramConfig, inverseCholeskyConfig } from './kernels/gram.ts'
import { kvWriteConfig } from './kernels/kv-write.ts'
import { mapValuesConfig } from './kernels/map-values.ts'
import { linearConfig } from './kernels/linear.ts'
import { linearPartsConfig } from './kernels/linear-parts.ts'
import { batchMatMulConfig, fusedMatMulConfig } from './kernels/mat-mul.ts'
import { moeConfig } from './kernels/moe.ts'
import { addRmsNormConfig, layerNormConfig, rmsNormConfig } from './kernels/norm.ts'
import { pagedAttentionConfig } from './kernels/paged-attention.ts'
import { rotaryEmbeddingConfig } from './kernels/rotary-embedding.ts'
import { sampleConfig } from './kernels/sample.ts'
import { sliceConfig } from './kernels/slice.ts'
import { loadNativeAddon } from './native-addon.ts'
import type { Isa, NativeAddon } from './native-addon.ts'
import { NativeBackend } from './native-backend.ts'
import { backendName, shareInputs } from './native-kernel.ts'
import { NativeKvStorage } from './native-kv-storage.ts'
import { activationChoices, NativePackedWeight } from './native-packed-weight.ts'
import type { ActivationChoice, PackingOptions } from './native-packed-weight.ts'
import { resolvePackingTime } from './packing-time.ts'
import type { PackingTime } from './packing-time.ts'
import { resolveThreadCount } from './thread-count.ts'

export interface NativeOptions {
  /** Threads that compute, the calling one included. Default: OCTAVO_THREADS, else all CPUs that this process may use. */
  readonly threads?: number
  /**
   * How quantized weights meet activations: `int8` rounds these to 8 bits per row and block of 32 columns, `int8-wide` per
   * row and 256 columns (llama.cpp does the one or the other, by format); `float32` widens the weights instead, which is
   * exact and slower. `auto`, the default: where rows have at least 512 columns `int8-wide` with AMX, else `int8`.
   */
  readonly activations?: ActivationChoice
  /**
   * When weights that lie in files are packed for the kernels: `deferred`, the default, takes the first request at once and
   * packs on first use and in the background; `at-load` packs all before the model counts as loaded, so that the first
   * request has nothing to wait for, and the checkpoint may be changed afterwards. Default: OCTAVO_PACKING, else `deferred`.
   */
  readonly packing?: PackingTime
  /** An instruction set below the best one, for tests. It holds for the whole process. */
  readonly isa?: Isa
}

const kernelConfigs = [
  embeddingConfig,
  linearConfig,
  gatedLinearConfig,
  linearPartsConfig,
  rmsNormConfig,
  addRmsNormConfig,
  layerNormConfig,
  rotaryEmbeddingConfig,
  kvWriteConfig,
  mapValuesConfig,
  pagedAttentionConfig,
  attentionConfig,
  gatedActivationConfig,
  activationConfig,
  moeConfig,
  sampleConfig,
  gramConfig,
  inverseCholeskyConfig,
  batchMatMulConfig,
  fusedMatMulConfig,
  concatConfig,
  gatherConfig,
  sliceConfig,
]

/**
 * tfjs's `cpu` backend under the name `native`, with the fused ops and matrix products in C++. May be called any
 * number of times: the last call's threads and instruction set hold. Does not activate the backend.
 *
 * @throws BackendUnavailableError where the addon is missing or the CPU lacks the instruction set.
 * @throws InvalidConfigError where an option is not one.
 */
export async function createNativePack(options: NativeOptions = {}): Promise<BackendPack> {
  const numThreads = resolveThreadCount(options.threads)
  const activations = options.activations ?? 'auto'
  if (!activationChoices.includes(activations))
    throw new InvalidConfigError(
      'activations',
      `must be one of ${activationChoices.join(', ')}, got ${JSON.stringify(activations)}`,
    )
  const packing = resolvePackingTime(options.packing)
  const loaded = loadNativeAddon()
  if ('reason' in loaded) throw new BackendUnavailableError(`The native addon: ${loaded.reason}.`)
  const { addon } = loaded
  const isa = options.isa ?? addon.bestIsa()
  chooseIsa(addon, isa)
  const backend = startBackend(addon, numThreads)
  let usedBytes = 0
  const onDispose = (sizeInBytes: number): void => void (usedBytes -= sizeInBytes)
  const packingOptions: PackingOptions = {
    get pool() {
      return backend.pool
    },
    activations,
    isa,
    packing,
    onDispose,
  }
  return {
    name: backendName,
    isBatchInvariant: true,
    maxMemoryBytes: null,
    kvCacheDtypes: allKvDTypes,
    get usedBytes() {
      return usedBytes
    },
    get pendingBytes() {
      return backend.pool.pendingBytes
    },
    packWeight(spec, fill, stored = null) {
      const weight = new NativePackedWeight(spec, { fill, stored }, packingOptions)
      usedBytes += weight.sizeInBytes
      return weight
    },
    createKvStorage(layout) {
      const kv = new NativeKvStorage(addon, layout, onDispose)
      usedBytes += kv.sizeInBytes
      return kv
    },
  }
}

function chooseIsa(addon: NativeAddon, isa: Isa): void {
  if (addon.setIsa(isa)) return
  throw new BackendUnavailableError(`This CPU has no ${isa}; the best that it has is ${addon.bestIsa()}.`)
}

/** tfjs keeps one backend of a name: another number of threads replaces its pool. */
function startBackend(addon: NativeAddon, numThreads: number): NativeBackend {
  if (!(backendName in engine().registryFactory)) {
    registerKernels()
    const backend = new NativeBackend(new addon.Pool(numThreads), numThreads)
    registerBackend(backendName, () => backend)
  }
  const backend: unknown = findBackend(backendName)
  assert(backend instanceof NativeBackend, 'another tfjs backend is called native')
  if (backend.numThreads !== numThreads) {
    backend.pool.dispose()
    backend.pool = new addon.Pool(numThreads)
    backend.numThreads = numThreads
  }
  return backend
}

function runShared(run: KernelFunc, call: Parameters<KernelFunc>[0]): ReturnType<KernelFunc> {
  assert(call.backend instanceof NativeBackend, 'a kernel of the native backend runs on it')
  shareInputs(call.backend, call.inputs)
  return run(call)
}

/** tfjs's own `cpu` kernels, with ours in place of the hot ones. */
function registerKernels(): void {
  const own = new Set(kernelConfigs.map(({ kernelName }) => kernelName))
  for (const { kernelName, kernelFunc, ...config } of getKernelsForBackend('cpu')) {
    if (own.has(kernelName)) continue
    // These two hand their input's data on, counted; any other may return a view that nobody counts.
    const isCounted = kernelName === Identity || kernelName === Reshape
    registerKernel({
      ...config,
      kernelName,
      backendName,
      kernelFunc: isCounted ? kernelFunc : (call) => runShared(kernelFunc, call),
    })
  }
  for (const config of kernelConfigs) registerKernel(config)
}
