import { gather, tensor1d, tensor2d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { singleRank } from '@octavo/core/model'
import type { CausalLM, DecoderDesign, LinearMethods, ModelConfig } from '@octavo/core/model'
import { QuantizationError } from '@octavo/core/quantization'
import type { DecoderLayer, LayerModule, ModuleInput } from '../decoder-layer.ts'
import { noChanges } from './checkpoint-layer.ts'
import type { LayerChanges, ReachLayer } from './checkpoint-layer.ts'
import { isChanged, restoreModule } from './layer-module.ts'
import type { CheckpointModule } from './layer-module.ts'
import type { LayerRuntime } from './layer-runtime.ts'
import { ModuleMethods } from './module-methods.ts'

export interface SingleModuleLayerOptions {
  readonly runtime: LayerRuntime
  readonly kind: 'embedding' | 'head'
  readonly seed: number
  readonly reach: ReachLayer
}

/** The embedding, or the head behind the final norm, as a layer of one module. */
export class SingleModuleLayer implements DecoderLayer {
  readonly kind: 'embedding' | 'head'
  readonly index = 0
  readonly cacheScales = null
  readonly name: string
  readonly seed: number
  readonly config: ModelConfig
  readonly design: DecoderDesign
  readonly modules: readonly LayerModule[]
  readonly #options: SingleModuleLayerOptions
  readonly #methods: ModuleMethods
  readonly #module: CheckpointModule
  #stage: CausalLM | null = null

  constructor(options: SingleModuleLayerOptions) {
    const { runtime, kind, seed } = options
    const { config, design, view } = runtime.model
    this.kind = kind
    this.name = kind === 'head' ? design.lmHead : design.embedding
    this.seed = seed
    this.config = config
    this.design = design
    this.#options = options
    this.#methods = new ModuleMethods({ view, pack: runtime.pack })
    // Loading the stage tells what the module is; its weight is not read yet.
    this.#load()
    const module = this.#methods.modules.find(({ name }) => name === this.name)
    if (module === undefined) throw new QuantizationError('the model has no such module', { layer: this.name })
    this.#module = module
    this.modules = [module]
  }

  get changes(): LayerChanges {
    const { name, change } = this.#module
    return { ...noChanges, modules: new Map(isChanged(change) ? [[name, change]] : []) }
  }

  restore({ modules }: LayerChanges): void {
    restoreModule(this.#module, modules.get(this.name))
  }

  /** For who loads the embedding with what was made of it. */
  get methods(): LinearMethods {
    return this.#methods.methods
  }

  round(): void {
    this.#module.round()
  }

  vector(): null {
    return null
  }

  setVector(name: string): void {
    throw new QuantizationError(`it has no vectors, and a pass sets ${name}`, { layer: this.name })
  }

  toStored(name: string): Float32Array {
    throw new QuantizationError(`it has no vectors, and a pass asks for ${name}`, { layer: this.name })
  }

  /** Nothing is given to a table of rows. */
  get hasCalibration(): boolean {
    return this.numBatches > 0
  }

  get numBatches(): number {
    return this.kind === 'embedding' ? 0 : this.#options.runtime.batches.length
  }

  numTokens(batch: number): number {
    return this.#options.runtime.batches[batch]?.ids.length ?? 0
  }

  shownRows(batch: number): Int32Array | null {
    return this.#options.runtime.batches[batch]?.shown ?? null
  }

  async observe(watch: (given: ModuleInput) => void): Promise<void> {
    const { runtime, reach } = this.#options
    if (!this.hasCalibration)
      throw new QuantizationError(
        this.kind === 'embedding'
          ? 'a pass asks what it is given; an embedding is given token ids alone. Round it to the nearest, or leave it out'
          : 'a pass asks what it is given, and there is no calibration text; pass `calibration` (--calibration FILE)',
        { layer: this.name },
      )
    const store = await reach(this.config.numLayers)
    const stage = this.#load()
    runtime.batches.forEach((batch, i) =>
      tidy(() => {
        const hidden = tensor2d(store.read(i), [batch.ids.length, this.config.hiddenSize])
        const normed = stage.forward(hidden, runtime.context(batch))
        const input = batch.shown === null ? normed : gather(normed, tensor1d(batch.shown, 'int32'))
        watch({ module: this.#module, input })
      }),
    )
  }

  async observeSublayers(): Promise<void> {
    // It has none.
  }

  async observeCache(): Promise<void> {
    // It has none.
  }

  setCacheScales(): void {
    throw new QuantizationError('it has no keys and values, and a pass sets scales of them', { layer: this.name })
  }

  runSublayer(): Tensor2D {
    throw new QuantizationError('it has no attention and no MLP', { layer: this.name })
  }

  dispose(): void {
    this.#stage?.dispose()
    this.#stage = null
    this.#methods.release()
  }

  #load(): CausalLM {
    const { runtime, kind } = this.#options
    const { config, source, definition } = runtime.model
    const at = kind === 'head' ? config.numLayers : 0
    this.#stage ??= definition.load({
      config,
      source,
      pack: runtime.pack,
      dtype: 'float32',
      communicator: singleRank,
      layers: { start: at, end: at },
      linearMethods: this.#methods.methods,
    })
    return this.#stage
  }
}
