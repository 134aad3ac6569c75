import type { Tensor2D } from '@tensorflow/tfjs-core'
import { createBackend } from '../backends/backend.ts'
import type { BackendPack, MachineShare, WarmupPolicy } from '../backends/backend-pack.ts'
import type { EngineConfig } from '../config/engine-config.ts'
import type { ModelConfig } from '../config/model-config.ts'
import type { PoolingConfig } from '../config/pooling-config.ts'
import { checkParallelSizes } from '../config/parallel-sizes.ts'
import { InvalidConfigError } from '../errors.ts'
import type { Communicator } from '../layers/communicator.ts'
import { ExpertBalance, type ExpertBalanceReport } from '../layers/expert-balance.ts'
import type { Checkpoint } from '../loading/checkpoint.ts'
import type { CausalLM, LayerRange } from '../models/model.ts'
import type { ModelRunnerOutput, SchedulerOutput } from '../scheduler/scheduler-output.ts'
import { GrammarPool } from '../structured-output/grammar-pool.ts'
import type { GrammarSpec } from '../structured-output/grammar-spec.ts'
import { kvBytesPerToken, type KvDType, type KvLayout, type KvStorage } from '../tensor/kv-storage.ts'
import { createNoKvStorage } from '../tensor/no-kv-storage.ts'
import { assert } from '../util/assert.ts'
import { availableMemory } from '../util/available-memory.ts'
import { type CheckpointModel, readCheckpointModel } from './checkpoint-model.ts'
import { estimateWeightBytes } from './estimate-weight-bytes.ts'
import { checkMaxModelLen, checkWeightsFit, kvBudget, type MemoryLimits } from './kv-cache-size.ts'
import { ModelRunner } from './model-runner.ts'
import { maxPromptTokens } from './resolve-pooling.ts'
import { stepLimits } from './step-limits.ts'
import { paddedSizes, type WarmupReport, warmUp } from './warm-up.ts'
import type { LoadedModel, Worker } from './worker.ts'
import { composeSampler, type WorkerContext, type WorkerModules } from './worker-modules.ts'

export interface ModelWorkerOptions {
  readonly config: EngineConfig
  readonly modelPath: string
  /** Which rank this is of how many that share every layer. */
  readonly communicator: Communicator
  /** The ranks that have the experts between them; default: those of `communicator` share every expert (`LoadModelContext`). */
  readonly expertCommunicator?: Communicator
  readonly share: MachineShare
  /** The stage of the decoder that this rank has; default: all layers. */
  readonly layers?: LayerRange
  readonly workerModules?: Partial<WorkerModules>
  readonly onProgress?: (loadedBytes: number, totalBytes: number) => void
}

interface Loaded {
  readonly checkpoint: Checkpoint
  readonly pooling: PoolingConfig
  readonly pack: BackendPack
  readonly model: CausalLM
  readonly kvCacheDtype: KvDType
}

/** One rank in this thread: the model (or this rank's part of it) on a backend, and the runner that feeds it. */
export class ModelWorker implements Worker {
  readonly #options: ModelWorkerOptions
  readonly #expertBalance = new ExpertBalance()
  #loaded: Loaded | null = null
  #runner: ModelRunner | null = null
  #kvLayout: KvLayout | null = null
  #grammars: GrammarPool | null = null

  constructor(options: ModelWorkerOptions) {
    this.#options = options
  }

  /** What the experts of each rank of `expertCommunicator` were given so far; `null` where none were. */
  get expertBalance(): ExpertBalanceReport | null {
    return this.#expertBalance.report()
  }

  async load(): Promise<LoadedModel> {
    const { config, modelPath, share, communicator, expertCommunicator, workerModules = {} } = this.#options
    const checkpointModel = await readCheckpointModel(modelPath, workerModules, config.model)
    const { checkpoint, config: modelConfig, pooling } = checkpointModel
    checkParallelSizes(modelConfig, { tp: communicator.size, ep: expertCommunicator?.size ?? 1 })
    checkMaxModelLen(config.model, modelConfig.maxPositionEmbeddings)
    const { pack } = await createBackend(config.device.backend, { providers: workerModules.backends ?? [], share })
    const kvCacheDtype = kvDTypeOf(pack, config.cache.kvCacheDtype)
    const model = this.#loadModel(checkpointModel, pack)
    this.#loaded = { checkpoint, pooling, pack, model, kvCacheDtype }
    return {
      backend: pack.name,
      isBatchInvariant: pack.isBatchInvariant,
      weightBytes: model.weightBytes,
      kvCacheDtype,
      kvBytesPerToken: kvBytesPerToken({ ...model.kvShape, dtype: kvCacheDtype }),
      maxPositions: maxPromptTokens(modelConfig, pooling),
      layers: model.layers,
      numKvHeads: model.kvShape.numKvHeads,
      needsWholePrompts: pooling.needsWholePrompts,
    }
  }

  availableKvBytes(): number {
    const { config, share } = this.#options
    const { pack, model } = this.#requireLoaded()
    if (model.kvShape.numLayers === 0) return 0
    return kvBudget(config.cache.kvCacheMemory, memoryLimits(pack, model.weightBytes, share), share)
  }

  createKvCache(numBlocks: number): void {
    const { config, workerModules = {} } = this.#options
    const { checkpoint, pack, model, kvCacheDtype: dtype } = this.#requireLoaded()
    this.#kvLayout = { ...model.kvShape, dtype, numBlocks, blockSize: config.cache.blockSize }
    const kv = createKvStorage(pack, this.#kvLayout)
    const policy = warmupOf(pack, config.device.warmup)
    const paddedSize = policy && paddedSizes(config.scheduler.maxNumBatchedTokens)
    const { communicator, expertCommunicator } = this.#options
    const isFirst = communicator.rank === 0 && (expertCommunicator ?? communicator).rank === 0
    const sampler = isFirst ? composeSampler(workerModules, contextOf(model.config, checkpoint)) : null
    if (isFirst) this.#grammars = new GrammarPool({ modelPath: checkpoint.path, vocabSize: model.config.vocabSize })
    this.#runner = new ModelRunner({ model, kv, sampler, grammars: this.#grammars, ...(paddedSize && { paddedSize }) })
  }

  releaseKvCache(): void {
    this.#requireRunner().releaseKvCache()
  }

  /** As it was, and empty. */
  restoreKvCache(): void {
    assert(this.#kvLayout !== null, 'a worker that never had a KV cache')
    this.#requireRunner().restoreKvCache(createKvStorage(this.#requireLoaded().pack, this.#kvLayout))
  }

  warmUp(maxModelLen: number): WarmupReport | null {
    const { config } = this.#options
    const { pack, pooling } = this.#requireLoaded()
    const policy = warmupOf(pack, config.device.warmup)
    return (
      policy &&
      warmUp(this.#requireRunner(), policy, {
        ...stepLimits(config, { ...pooling, maxModelLen }),
        canGenerate: pooling.canGenerate,
        needsWholePrompts: pooling.needsWholePrompts,
        blockSize: config.cache.blockSize,
        maxModelLen,
      })
    )
  }

  execute(plan: SchedulerOutput, input: Tensor2D | null = null): ModelRunnerOutput {
    return this.#requireRunner().executeModel(plan, input)
  }

  /** Of a stage without the head; as `ModelRunner.executeStage`. */
  executeStage(plan: SchedulerOutput, input: Tensor2D | null = null): Tensor2D | null {
    return this.#requireRunner().executeStage(plan, input)
  }

  /** As `ModelRunner.hiddenShape`. */
  hiddenShape(plan: SchedulerOutput): [number, number] {
    return this.#requireRunner().hiddenShape(plan)
  }

  /** Of the rank that draws. */
  compileGrammar(spec: GrammarSpec): Promise<void> {
    assert(this.#grammars !== null, 'a rank that draws nothing has no grammars')
    return this.#grammars.compile(spec)
  }

  dispose(): void {
    void this.#grammars?.close()
    this.#grammars = null
    if (this.#runner === null) this.#loaded?.model.dispose()
    this.#runner?.dispose()
    this.#runner = null
    this.#loaded = null
  }

  #loadModel({ checkpoint, load }: CheckpointModel, pack: BackendPack): CausalLM {
    const { config, communicator, expertCommunicator, share, layers, onProgress } = this.#options
    const { dtype } = config.model
    return load({
      pack,
      dtype,
      communicator,
      ...(expertCommunicator && { expertCommunicator }),
      expertBalance: this.#expertBalance,
      ...(layers && { layers }),
      ...(onProgress && { onProgress }),
      check(source, scheme) {
        const weightBytes = estimateWeightBytes(source, {
          dtype,
          layers,
          numRanks: communicator.size,
          numExpertRanks: (expertCommunicator ?? communicator).size,
          scheme,
        })
        checkWeightsFit(checkpoint.path, weightBytes, memoryLimits(pack, 0, share))
      },
    })
  }

  #requireLoaded(): Loaded {
    assert(this.#loaded !== null, 'a worker that has not loaded')
    return this.#loaded
  }

  #requireRunner(): ModelRunner {
    assert(this.#runner !== null, 'a worker without a KV cache')
    return this.#runner
  }
}

function createKvStorage(pack: BackendPack, layout: KvLayout): KvStorage {
  return layout.numLayers === 0 ? createNoKvStorage(layout) : pack.createKvStorage(layout)
}

function contextOf(config: ModelConfig, { config: hfConfig, path: modelPath }: Checkpoint): WorkerContext {
  return { config, hfConfig, modelPath }
}

function kvDTypeOf({ name, kvCacheDtypes }: BackendPack, dtype: EngineConfig['cache']['kvCacheDtype']): KvDType {
  if (dtype === 'auto') return kvCacheDtypes[0]
  if (kvCacheDtypes.includes(dtype)) return dtype
  throw new InvalidConfigError(
    'kvCacheDtype',
    `is ${dtype}, but the ${name} backend keeps keys and values in ${kvCacheDtypes.join(', ')} only; leave the option out, or choose the backend native or cpu`,
  )
}

function warmupOf({ warmup }: BackendPack, option: EngineConfig['device']['warmup']): WarmupPolicy | null {
  const isWanted = option === 'auto' ? warmup?.isDefault : option
  return isWanted ? (warmup ?? null) : null
}

/** This rank's share of free memory, less what weights are still to take and a reserve for activations and the rest of the process. */
function memoryLimits(pack: BackendPack, usedBytes: number, { numLocalWorkers }: MachineShare): MemoryLimits {
  const reserve = 64 * 1024 ** 2
  const pending = pack.pendingBytes ?? 0 // before the free memory: a weight may be packed meanwhile
  return {
    availableBytes: Math.max(0, Math.floor((availableMemory() - pending) / numLocalWorkers) - reserve),
    backendBytes: pack.maxMemoryBytes === null ? null : Math.max(0, pack.maxMemoryBytes - usedBytes - 2 * reserve),
  }
}
