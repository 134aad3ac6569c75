import type { BackendPack } from '@octavo/core/backend'
import { RotaryEmbedding } from '@octavo/core/model'
import type { ForwardContext, RopeRows } from '@octavo/core/model'
import type { KvStorage } from '@octavo/core/ops'
import { calibrationBlockSize } from '../calibration/calibration-batch.ts'
import type { CalibrationBatch } from '../calibration/calibration-batch.ts'
import type { OpenedDecoder } from './open-decoder.ts'

export interface LayerRuntimeOptions {
  readonly model: OpenedDecoder
  readonly pack: BackendPack
  /** Empty: nothing can be observed. */
  readonly batches: readonly CalibrationBatch[]
}

/** What all layers share while they run: tables of angles, and a KV cache for one layer and one batch. */
export class LayerRuntime {
  readonly model: OpenedDecoder
  readonly pack: BackendPack
  readonly batches: readonly CalibrationBatch[]
  readonly rope: RotaryEmbedding | null
  readonly slidingRope: RotaryEmbedding | null
  #kv: KvStorage | null = null

  constructor({ model, pack, batches }: LayerRuntimeOptions) {
    const { config, design } = model
    this.model = model
    this.pack = pack
    this.batches = batches
    this.rope = design.attention.hasRope ? new RotaryEmbedding(config.rope, config.headDim) : null
    const isSame = this.rope === null || config.slidingRope === config.rope
    this.slidingRope = isSame ? this.rope : new RotaryEmbedding(config.slidingRope, config.headDim)
  }

  context(batch: CalibrationBatch): ForwardContext {
    const { numKvHeads, headDim } = this.model.config
    this.#kv ??= this.pack.createKvStorage({
      dtype: 'float32',
      numLayers: 1,
      numBlocks: Math.max(...this.batches.map(({ numBlocks }) => numBlocks)),
      blockSize: calibrationBlockSize,
      numKvHeads,
      headDim,
    })
    return { metadata: batch.metadata, kv: this.#kv, tokens: null }
  }

  /** Angles of a batch, for a layer with a sliding window or without. */
  ropeRows({ metadata }: CalibrationBatch, isSliding: boolean): RopeRows | null {
    return (isSliding ? this.slidingRope : this.rope)?.prepare(metadata) ?? null
  }

  dispose(): void {
    this.#kv?.dispose()
    this.rope?.dispose()
    if (this.slidingRope !== this.rope) this.slidingRope?.dispose()
  }
}
