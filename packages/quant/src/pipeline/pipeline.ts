import type { LayerPass } from '../decoder-layer.ts'
import type { Recipe } from '../recipe/recipe.ts'
import type { PipelineOptions, SaveOptions } from './pipeline-options.ts'
import { runPipeline } from './run-pipeline.ts'
import type { SaveReport } from './run-pipeline.ts'

/**
 * A model on its way to a quantized checkpoint: passes are put one behind the other, and run when it is saved.
 *
 *     await pipeline('Qwen/Qwen3-0.6B', { calibration: { data: 'texts.jsonl' } })
 *       .apply(smoothQuant())
 *       .apply(gptq({ bits: 4, groupSize: 128 }))
 *       .save('qwen3-w4')
 *
 * @param model as `LLM.load` takes it: a folder, an embedded model, or a repository of the hub
 */
export function pipeline(model: string, options: PipelineOptions = {}): Pipeline {
  return new QuantizationPipeline(model, options, [])
}

export interface Pipeline {
  /** Another pipeline with these steps behind its own: layer by layer, the first one first. */
  apply(...steps: readonly (LayerPass | Recipe)[]): Pipeline
  /**
   * Runs the passes and writes a checkpoint in Hugging Face's layout. A run that was ended at any moment goes on where it was
   * when the same is run again, and gives the same bytes.
   *
   * @throws QuantizationError naming layer and module; CheckpointError, UnsupportedModelError of the model
   */
  save(dir: string, options?: SaveOptions): Promise<SaveReport>
}

class QuantizationPipeline implements Pipeline {
  readonly #model: string
  readonly #options: PipelineOptions
  readonly #steps: readonly (LayerPass | Recipe)[]

  constructor(model: string, options: PipelineOptions, steps: readonly (LayerPass | Recipe)[]) {
    this.#model = model
    this.#options = options
    this.#steps = steps
  }

  apply(...steps: readonly (LayerPass | Recipe)[]): Pipeline {
    return new QuantizationPipeline(this.#model, this.#options, [...this.#steps, ...steps])
  }

  save(dir: string, options: SaveOptions = {}): Promise<SaveReport> {
    const passes = this.#steps.flatMap((step) => (typeof step === 'function' ? [step] : step.passes))
    const recipes = this.#steps.filter((step) => typeof step !== 'function')
    return runPipeline({ model: this.#model, options: this.#options, passes, recipes }, dir, options)
  }
}
