import { createBackend } from '../backends/backend.ts'
import type { EngineConfig } from '../config/engine-config.ts'
import { parseModelConfig } from '../config/model-config.ts'
import { InvalidConfigError } from '../errors.ts'
import { singleRank } from '../layers/communicator.ts'
import { openCheckpoint } from '../loading/checkpoint.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import { getModelDefinition } from '../models/registry.ts'
import type { BackendPack, BackendProvider, WarmupPolicy } from '../backends/backend-pack.ts'
import type { ModelRunnerOutput, SchedulerOutput } from '../scheduler/scheduler-output.ts'
import { isDense, weightFormats } from '../tensor/dtype.ts'
import type { KvDType } from '../tensor/kv-storage.ts'
import { assert } from '../util/assert.ts'
import type { EngineInfo } from './engine-messages.ts'
import type { Executor } from './executor.ts'
import { checkMaxModelLen, checkWeightsFit, type MemoryLimits, sizeKvCache } from './kv-cache-size.ts'
import { ModelRunner } from './model-runner.ts'
import { paddedSizes, warmUp } from './warm-up.ts'

export interface InlineExecutorOptions {
  readonly config: EngineConfig
  readonly modelPath: string
  /** Backends besides core's own. */
  readonly backendProviders?: readonly BackendProvider[]
  readonly onProgress?: (loadedBytes: number, totalBytes: number) => void
}

/** Loads the model and runs plans in this very thread, on one backend. */
export class InlineExecutor implements Executor {
  readonly maxPlansInFlight = 1
  readonly #options: InlineExecutorOptions
  #runner: ModelRunner | null = null

  constructor(options: InlineExecutorOptions) {
    this.#options = options
  }

  async initialize(): Promise<EngineInfo> {
    const { config, modelPath, backendProviders, onProgress } = this.#options
    const checkpoint = await openCheckpoint(modelPath)
    const modelConfig = parseModelConfig(checkpoint.config, checkpoint.path)
    checkMaxModelLen(config, modelConfig.maxPositionEmbeddings)
    const definition = await getModelDefinition(modelConfig)
    const { pack } = await createBackend(config.backend, undefined, backendProviders)
    const dtype = kvDTypeOf(pack, config.kvCacheDtype)
    const source = checkpoint.openWeights()
    try {
      checkWeightsFit(checkpoint.path, weightBytesAtRest(source, config.dtype), memoryLimits(pack, 0))
      const model = definition.load({
        config: modelConfig,
        source,
        pack,
        dtype: config.dtype,
        communicator: singleRank,
        ...(onProgress && { onProgress }),
      })
      const memory = memoryLimits(pack, model.weightBytes)
      const size = sizeKvCache(
        config,
        { shape: model.kvShape, dtype, maxPositions: modelConfig.maxPositionEmbeddings },
        memory,
      )
      const kv = pack.createKvStorage({
        ...model.kvShape,
        dtype,
        numBlocks: size.numBlocks,
        blockSize: config.blockSize,
      })
      const policy = warmupOf(pack, config.warmup)
      const paddedSize = policy && paddedSizes(config.maxNumBatchedTokens)
      this.#runner = new ModelRunner({ model, kv, ...(paddedSize && { paddedSize }) })
      return {
        ...size,
        blockSize: config.blockSize,
        kvCacheDtype: dtype,
        weightBytes: model.weightBytes,
        backend: pack.name,
        isBatchInvariant: pack.isBatchInvariant,
        warmup: policy && warmUp(this.#runner, policy, { ...config, maxModelLen: size.maxModelLen }),
      }
    } finally {
      source.close()
    }
  }

  executeModel(plan: SchedulerOutput): Promise<ModelRunnerOutput> {
    assert(this.#runner !== null, 'executeModel before initialize')
    return Promise.resolve(this.#runner.executeModel(plan))
  }

  shutdown(): Promise<void> {
    this.#runner?.dispose()
    this.#runner = null
    return Promise.resolve()
  }
}

function kvDTypeOf({ name, kvCacheDtypes }: BackendPack, dtype: EngineConfig['kvCacheDtype']): KvDType {
  if (dtype === 'auto') return kvCacheDtypes[0]
  if (kvCacheDtypes.includes(dtype)) return dtype
  throw new InvalidConfigError(
    'kvCacheDtype',
    `is ${dtype}, but the ${name} backend keeps keys and values in ${kvCacheDtypes.join(', ')} only; leave the option out, or choose the backend native or cpu`,
  )
}

function warmupOf({ warmup }: BackendPack, option: EngineConfig['warmup']): WarmupPolicy | null {
  const isWanted = option === 'auto' ? warmup?.isDefault : option
  return isWanted ? (warmup ?? null) : null
}

/** What the weights will take in memory: as stored, or in the dtype asked for. */
function weightBytesAtRest(source: WeightSource, dtype: EngineConfig['dtype']): number {
  let total = 0
  for (const name of source.names()) {
    const info = source.get(name)
    if (info === null) continue
    const numElements = info.shape.reduce((product, dim) => product * dim, 1)
    const isKept = dtype === 'auto' || (info.shape.length < 2 && isDense(info.format))
    total += isKept ? info.sizeInBytes : numElements * weightFormats[dtype].blockBytes
  }
  return total
}

/** Free memory less what weights are still to take, and a reserve for activations and the rest of the process. */
function memoryLimits(pack: BackendPack, usedBytes: number): MemoryLimits {
  const reserve = 64 * 1024 ** 2
  const pending = pack.pendingBytes ?? 0 // before the free memory: a weight may be packed meanwhile
  return {
    availableBytes: Math.max(0, process.availableMemory() - pending - reserve),
    backendBytes: pack.maxMemoryBytes === null ? null : Math.max(0, pack.maxMemoryBytes - usedBytes - 2 * reserve),
  }
}
