import { setImmediate } from 'node:timers/promises'
import { sub, sum, square, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { BackendPack } from '@octavo/core/backend'
import type { CausalLM, OpenedModel } from '@octavo/core/model'
import { batchSequences, createBatchKv, type SequenceBatch } from './sequence-batch.ts'
import type { TokenSequence } from './token-sequences.ts'

export interface LayerErrorsOptions {
  readonly original: OpenedModel
  readonly models: readonly OpenedModel[]
  readonly pack: BackendPack
  readonly sequences: readonly TokenSequence[]
  readonly onProgress?: (doneLayers: number, numLayers: number) => void
}

interface Squares {
  /** Of what the original's layer adds to its input. */
  added: number
  /** Per model, of the difference from the original's output. */
  readonly errors: number[]
}

/**
 * Of each decoder layer, per model: how far its output is from the original's for the original's input, as a share of what the
 * original's layer adds to that input (√(Σ‖y′ − y‖² / Σ‖y − x‖²)); the residual stream itself would hide it. One layer of
 * each is in memory at a time.
 * @returns `[model][layer]`
 */
export async function measureLayerErrors(options: LayerErrorsOptions): Promise<number[][]> {
  const { original, models, pack, sequences, onProgress } = options
  const { numLayers } = original.config
  const batches = batchSequences(sequences)
  const errors = models.map((): number[] => [])
  let inputs: readonly Tensor2D[] = useStage(original.load({ start: 0, end: 0 }), { pack, batches }, (forward) =>
    batches.map((batch) => forward(batch, batch.inputIds)),
  )
  for (let layer = 0; layer < numLayers; layer++) {
    const outputs = useStage(original.loadLayer(layer), { pack, batches }, (forward) =>
      batches.map((batch, b) => forward(batch, inputs[b]!)),
    )
    const squares: Squares = { added: 0, errors: models.map(() => 0) }
    outputs.forEach((output, b) => {
      squares.added += squaredDistance(output, inputs[b]!)
    })
    for (const [m, model] of models.entries()) {
      useStage(model.loadLayer(layer), { pack, batches }, (forward) => {
        batches.forEach((batch, b) => {
          const output = forward(batch, inputs[b]!)
          squares.errors[m] = squares.errors[m]! + squaredDistance(output, outputs[b]!)
          output.dispose()
        })
      })
      errors[m]!.push(Math.sqrt(squares.errors[m]! / squares.added))
    }
    for (const input of inputs) input.dispose()
    inputs = outputs
    onProgress?.(layer + 1, numLayers)
    await setImmediate()
  }
  for (const input of inputs) input.dispose()
  return errors
}

type Forward = (batch: SequenceBatch, input: Int32Array | Tensor2D) => Tensor2D

/** Frees the stage behind it. */
function useStage<T>(
  stage: CausalLM,
  { pack, batches }: { readonly pack: BackendPack; readonly batches: readonly SequenceBatch[] },
  use: (forward: Forward) => T,
): T {
  const kv = createBatchKv(stage, pack, batches)
  try {
    return use(({ metadata }, input) => tidy(() => stage.forward(input, { metadata, kv, tokens: null })))
  } finally {
    kv.dispose()
    stage.dispose()
  }
}

function squaredDistance(a: Tensor2D, b: Tensor2D): number {
  return tidy(() => sum(square(sub(a, b))).dataSync<'float32'>()[0]!)
}
