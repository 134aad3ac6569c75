import { tidy } from '@tensorflow/tfjs-core'
import { singleRank } from '@octavo/core/model'
import type { LinearMethods } from '@octavo/core/model'
import type { ActivationStore } from '../calibration/activation-store.ts'
import { CheckpointLayer } from './checkpoint-layer.ts'
import type { LayerChanges } from './checkpoint-layer.ts'
import type { LayerRuntime } from './layer-runtime.ts'

export interface LayerStreamOptions {
  readonly runtime: LayerRuntime
  readonly createStore: () => ActivationStore
  /** What passes made of a finished layer. */
  readonly finished: (index: number) => LayerChanges
  /** How the embedding is kept, where passes have changed it; default: as stored. */
  readonly embeddingMethods?: LinearMethods
}

/** The residual stream of the calibration tokens, as far into the model as somebody has asked for. */
export class LayerStream {
  readonly #options: LayerStreamOptions
  #store: ActivationStore | null = null
  /** The layer before which it stands. */
  #position = 0

  constructor(options: LayerStreamOptions) {
    this.#options = options
  }

  /** `null`: nobody has asked yet, so that no layer need run. */
  get position(): number | null {
    return this.#store === null ? null : this.#position
  }

  /** The stream before layer `index`; the finished layers before it run, with what passes made of them. */
  readonly reach = async (index: number): Promise<ActivationStore> => {
    const { runtime, finished } = this.#options
    this.#store ??= await this.#enter()
    for (let next = this.#position; next < index; next++) {
      const layer = new CheckpointLayer({ runtime, index: next, seed: 0, reach: this.reach })
      try {
        layer.restore(finished(next))
        await this.advance(layer)
      } finally {
        layer.dispose()
      }
    }
    return this.#store
  }

  /** Runs the layer before which the stream stands. */
  async advance(layer: CheckpointLayer): Promise<void> {
    await layer.propagate()
    this.#position = layer.index + 1
  }

  dispose(): void {
    this.#store?.dispose()
    this.#store = null
  }

  /** The embedded tokens. */
  async #enter(): Promise<ActivationStore> {
    const { runtime, createStore, embeddingMethods } = this.#options
    const { config, source, definition } = runtime.model
    const store = createStore()
    const embedding = definition.load({
      config,
      source,
      pack: runtime.pack,
      dtype: 'auto',
      communicator: singleRank,
      layers: { start: 0, end: 0 },
      ...(embeddingMethods && { linearMethods: embeddingMethods }),
    })
    try {
      runtime.batches.forEach((batch, i) => {
        const context = runtime.context(batch)
        // Not what a tidy returns: tfjs looks for tensors in each of its elements.
        tidy(() => {
          store.write(i, embedding.forward(batch.ids, context).dataSync<'float32'>())
        })
      })
    } finally {
      embedding.dispose()
    }
    return store
  }
}
