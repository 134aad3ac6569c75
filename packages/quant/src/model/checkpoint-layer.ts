import { tensor2d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { createBlock, runBlock, singleRank, WeightLoader } from '@octavo/core/model'
import type { DecoderBlock, DecoderDesign, ModelConfig } from '@octavo/core/model'
import { QuantizationError } from '@octavo/core/quantization'
import type { ActivationStore } from '../calibration/activation-store.ts'
import type { CacheRows, CacheScales, DecoderLayer, LayerModule, ModuleInput, SublayerInput } from '../decoder-layer.ts'
import { checkRest } from './check-tensors.ts'
import { isChanged, restoreModule } from './layer-module.ts'
import type { ModuleChange } from './layer-module.ts'
import type { LayerRuntime } from './layer-runtime.ts'
import { ModuleMethods } from './module-methods.ts'
import { OverlayWeights } from './overlay-weights.ts'

/** What passes have made of a layer. */
export interface LayerChanges {
  readonly modules: ReadonlyMap<string, ModuleChange>
  readonly vectors: ReadonlyMap<string, Float32Array>
  readonly cacheScales: CacheScales | null
}

export const noChanges: LayerChanges = { modules: new Map(), vectors: new Map(), cacheScales: null }

/** Gives the residual stream before a layer, having run those before it. */
export type ReachLayer = (index: number) => Promise<ActivationStore>

export interface CheckpointLayerOptions {
  readonly runtime: LayerRuntime
  readonly index: number
  readonly seed: number
  readonly reach: ReachLayer
}

interface Built {
  readonly block: DecoderBlock
  readonly loader: WeightLoader
}

/** A decoder layer over the checkpoint; `dispose` frees what runs, and changes can still be asked for. */
export class CheckpointLayer implements DecoderLayer {
  readonly kind = 'decoder'
  readonly index: number
  readonly name: string
  readonly seed: number
  readonly config: ModelConfig
  readonly design: DecoderDesign
  readonly modules: readonly LayerModule[]
  readonly #runtime: LayerRuntime
  readonly #reach: ReachLayer
  readonly #overlay: OverlayWeights
  readonly #methods: ModuleMethods
  #built: Built | null = null
  #cacheScales: CacheScales | null = null

  constructor({ runtime, index, seed, reach }: CheckpointLayerOptions) {
    const { config, design, view } = runtime.model
    this.index = index
    this.name = `${design.layers}.${index}`
    this.seed = seed
    this.config = config
    this.design = design
    this.#runtime = runtime
    this.#reach = reach
    this.#overlay = new OverlayWeights(view, `${this.name}.`)
    this.#methods = new ModuleMethods({ view, pack: runtime.pack })
    // Building it tells which modules and vectors it has.
    this.#block()
    this.modules = this.#methods.modules
    const prefixes = this.modules.map(({ name }) => name)
    checkRest(this.#overlay, { design, prefixes, names: this.#overlay.vectorNames })
  }

  get changes(): LayerChanges {
    const changed = this.#methods.modules.filter(({ change }) => isChanged(change))
    return {
      modules: new Map(changed.map(({ name, change }) => [name, change])),
      vectors: this.#overlay.changes,
      cacheScales: this.#cacheScales,
    }
  }

  /** Takes over what passes made of it in an earlier run. */
  restore({ modules, vectors, cacheScales }: LayerChanges): void {
    for (const module of this.#methods.modules) {
      restoreModule(module, modules.get(module.name))
    }
    for (const [name, values] of vectors) this.setVector(name, values)
    this.#cacheScales = cacheScales
  }

  /** What is saved from now on is what it computes with. */
  round(): void {
    for (const module of this.#methods.modules) module.round()
    this.#overlay.round()
    this.#unbuild()
  }

  vector(name: string): Float32Array | null {
    return this.#overlay.vector(name)
  }

  setVector(name: string, values: Float32Array): void {
    this.#overlay.setVector(name, values)
    this.#unbuild()
  }

  toStored(name: string, values: Float32Array): Float32Array {
    return this.#overlay.toStored(name, values)
  }

  get cacheScales(): CacheScales | null {
    return this.#cacheScales
  }

  setCacheScales(scales: CacheScales): void {
    const { keys, values, scheme } = scales
    const expected = scheme.strategy === 'head' ? this.config.numKvHeads : 1
    if (keys.length !== expected || values.length !== expected)
      throw new QuantizationError(
        `a pass sets ${keys.length} scales of keys and ${values.length} of values; by ${scheme.strategy} there are ${expected} of each`,
        { layer: this.name },
      )
    this.#cacheScales = scales
  }

  get hasCalibration(): boolean {
    return this.numBatches > 0
  }

  get numBatches(): number {
    return this.#runtime.batches.length
  }

  numTokens(batch: number): number {
    return this.#batch(batch).ids.length
  }

  shownRows(batch: number): Int32Array | null {
    return this.#batch(batch).shown
  }

  async observe(watch: (given: ModuleInput) => void): Promise<void> {
    await this.#run((batch, input) => {
      const { shown } = this.#batch(batch)
      const watching = { watch, shown: shown && new Set(shown) }
      this.#methods.watchWhile(watching, () => this.#forward(batch, input).dispose())
    })
  }

  async observeSublayers(watch: (given: SublayerInput) => void): Promise<void> {
    await this.#run((batch, input) => {
      const block = this.#block()
      const { attention, mlp } = block
      const watched: DecoderBlock = {
        ...block,
        attention: {
          forward(x, context, rows) {
            tidy(() => {
              watch({ kind: 'attention', batch, input: x })
            })
            return attention.forward(x, context, rows)
          },
        },
        mlp: {
          forward(x, context) {
            tidy(() => {
              watch({ kind: 'mlp', batch, input: x })
            })
            return mlp.forward(x, context)
          },
        },
      }
      this.#forward(batch, input, watched).dispose()
    })
  }

  async observeCache(watch: (given: CacheRows) => void): Promise<void> {
    await this.#run((index, residual) => {
      const block = this.#block()
      const batch = this.#batch(index)
      const context = this.#runtime.context(batch)
      tidy(() => {
        const x = block.beforeAttention?.forward(residual) ?? residual
        block.attention.forward(x, context, this.#runtime.ropeRows(batch, block.isSliding))
        watch(context.kv.gather(0, batch.metadata.slotMapping))
      })
    })
  }

  runSublayer({ kind, batch: index, input }: SublayerInput): Tensor2D {
    const block = this.#block()
    const batch = this.#batch(index)
    const context = this.#runtime.context(batch)
    return tidy(() =>
      kind === 'mlp'
        ? block.mlp.forward(input, context)
        : block.attention.forward(input, context, this.#runtime.ropeRows(batch, block.isSliding)),
    )
  }

  /** Runs the layer over all tokens; the store then has what the next layer is given. */
  async propagate(): Promise<void> {
    const store = await this.#reach(this.index)
    await this.#run((batch, input) => {
      const output = this.#forward(batch, input)
      store.write(batch, output.dataSync<'float32'>())
      output.dispose()
    })
  }

  /** Frees weights and tables; what has changed is kept. */
  dispose(): void {
    this.#unbuild()
    this.#methods.release()
  }

  async #run(each: (batch: number, input: Tensor2D) => void): Promise<void> {
    if (!this.hasCalibration)
      throw new QuantizationError(
        'a pass asks what the layer is given, and there is no calibration text; pass `calibration` (--calibration FILE)',
        { layer: this.name },
      )
    const store = await this.#reach(this.index)
    for (let batch = 0; batch < this.numBatches; batch++) {
      const input = tensor2d(store.read(batch), [this.#batch(batch).ids.length, this.config.hiddenSize])
      try {
        each(batch, input)
      } finally {
        input.dispose()
      }
      // Timers, signals and bars of progress get their turn.
      await new Promise(setImmediate)
    }
  }

  #forward(index: number, residual: Tensor2D, block: DecoderBlock = this.#block()): Tensor2D {
    const batch = this.#batch(index)
    return tidy(() => {
      const x = block.beforeAttention?.forward(residual) ?? residual
      const rows = this.#runtime.ropeRows(batch, block.isSliding)
      const context = this.#runtime.context(batch)
      return runBlock(block, { x, residual }, { next: null, rows, context }).residual
    })
  }

  #batch(index: number): LayerRuntime['batches'][number] {
    const batch = this.#runtime.batches[index]
    if (batch === undefined)
      throw new QuantizationError(`there is no batch ${index}; there are ${this.numBatches}`, { layer: this.name })
    return batch
  }

  #block(): DecoderBlock {
    this.#built ??= this.#build()
    return this.#built.block
  }

  #build(): Built {
    const { pack, rope, slidingRope } = this.#runtime
    const { config, design, index } = this
    const { methods: linearMethods } = this.#methods
    const loader = new WeightLoader({
      source: this.#overlay,
      pack,
      dtype: 'float32',
      communicator: singleRank,
      linearMethods,
    })
    try {
      const isSliding = config.layerTypes[index] === 'sliding'
      const context = { loader, config, design, firstLayer: index }
      return { loader, block: createBlock(context, index, isSliding ? slidingRope : rope) }
    } catch (error) {
      loader.dispose()
      throw error
    }
  }

  #unbuild(): void {
    this.#built?.loader.dispose()
    this.#built = null
  }
}
