import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { availableMemory, createBackend, resolveOptions } from '@octavo/core'
import type { ResolvedOptions } from '@octavo/core'
import { locateModel } from '@octavo/core/engine'
import { QuantizationError } from '@octavo/core/quantization'
import { createTokenizer } from '@octavo/core/tokenizer'
import { createBatches } from '../calibration/calibration-batch.ts'
import { readCalibration } from '../calibration/read-calibration.ts'
import type { CalibrationSet } from '../calibration/read-calibration.ts'
import { writeCheckpoint } from '../checkpoint/write-checkpoint.ts'
import type { LayerPass } from '../decoder-layer.ts'
import type { CheckpointFormat, SavedModule } from '../formats/checkpoint-format.ts'
import { resolveFormat } from '../formats/registry.ts'
import { LayerRuntime } from '../model/layer-runtime.ts'
import { openModel } from '../model/open-model.ts'
import type { OpenedModel } from '../model/open-model.ts'
import type { Recipe } from '../recipe/recipe.ts'
import { passIdentity, passName } from './pass-identity.ts'
import { pipelineOptionTable, saveOptionTable } from './pipeline-options.ts'
import type { PipelineOptions, SaveOptions } from './pipeline-options.ts'
import { ProgressMeter } from './progress.ts'
import { layerNames, recordName, runPasses } from './run-passes.ts'
import type { RunParts } from './run-passes.ts'
import { WorkDirectory } from './work-directory.ts'

/** What a run has made. */
export interface SaveReport {
  readonly path: string
  /** Of all tensors; `null` where an earlier run had made them already. */
  readonly weightBytes: number | null
  readonly modules: readonly SavedModule[]
}

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
  return new Pipeline(model, options, [])
}

export class Pipeline {
  readonly #model: string
  readonly #options: PipelineOptions
  readonly #passes: readonly LayerPass[]

  constructor(model: string, options: PipelineOptions, passes: readonly LayerPass[]) {
    this.#model = model
    this.#options = options
    this.#passes = passes
  }

  /** Another pipeline with these passes behind its own: layer by layer, the first one first. */
  apply(...steps: readonly (LayerPass | Recipe)[]): Pipeline {
    const passes = [...this.#passes]
    let options = this.#options
    for (const step of steps) {
      if (typeof step === 'function') passes.push(step)
      else {
        passes.push(...step.passes)
        options = { ...step.parts, ...options }
      }
    }
    return new Pipeline(this.#model, options, passes)
  }

  /**
   * Runs the passes and writes a checkpoint in Hugging Face's layout. A run that was ended at any moment goes on where it was
   * when the same is run again, and gives the same bytes.
   *
   * @throws QuantizationError naming layer and module; CheckpointError, UnsupportedModelError of the model
   */
  async save(dir: string, { onProgress, signal, ...given }: SaveOptions = {}): Promise<SaveReport> {
    const save = resolveOptions(saveOptionTable, given)
    const { calibration = null, providers = [], ...rest } = this.#options
    const options = resolveOptions(pipelineOptionTable, rest)
    const format = resolveFormat(save.format)
    const path = await locateModel({ model: this.#model, revision: options.revision })
    const model = await openModel(path)
    try {
      const { pack } = await createBackend(options.backend, { providers })
      const set =
        calibration === null
          ? null
          : readCalibration(calibration, {
              tokenizer: createTokenizer(model.checkpoint.readTokenizer()),
              config: model.config,
              seed: options.seed,
            })
      checkPasses(this.#passes, set)
      const parts = partsOf(model, options)
      const work = WorkDirectory.open({
        target: dir,
        identity: this.#identity(model, { options, set, backend: pack.name, format, parts }),
        overwrite: save.overwrite,
        restart: save.restart,
      })
      if (work === null) return { path: dir, weightBytes: null, modules: [] }
      const names = layerNames(model.config.numLayers, parts)
      const done = names.filter((name) => work.has(name)).length
      const progress = new ProgressMeter(onProgress, { numLayers: names.length, done })
      const batches = createBatches(set?.sequences ?? [], options.maxBatchTokens)
      const runtime = new LayerRuntime({ model, pack, batches })
      try {
        await runPasses({
          runtime,
          passes: this.#passes,
          parts,
          seed: options.seed,
          work,
          maxActivationBytes: bytesOf(options.maxActivationMemory),
          progress,
          signal: signal ?? null,
        })
      } finally {
        runtime.dispose()
      }
      const modules = names.flatMap((name) => work.read(name)?.modules ?? []).concat(unvisited(model, parts))
      for (const module of modules) if (module.weight !== null) format.check(module)
      const weightBytes = await writeCheckpoint({
        model,
        folder: work.createCheckpointFolder(),
        format,
        modules,
        layers: names.map((name) => ({
          prefix: prefixOf(name, model),
          changes: () => work.read(name)!.changes,
        })),
        maxShardBytes: bytesOf(save.maxShardSize),
        onProgress: (share) => progress.writing(share),
        signal: signal ?? null,
      })
      work.publish()
      return { path: work.target, weightBytes, modules }
    } finally {
      model.source.close()
    }
  }

  #identity(model: OpenedModel, { options, set, backend, format, parts }: IdentityContext): Record<string, unknown> {
    return {
      version: 1,
      model: fingerprintOf(model),
      passes: this.#passes.map(passIdentity),
      parts,
      calibration: set?.fingerprint ?? null,
      batches: options.maxBatchTokens,
      seed: options.seed,
      backend,
      format: format.name,
    }
  }
}

interface IdentityContext {
  readonly options: ResolvedOptions<typeof pipelineOptionTable>
  readonly set: CalibrationSet | null
  readonly backend: string
  readonly format: CheckpointFormat
  readonly parts: RunParts
}

function checkPasses(passes: readonly LayerPass[], set: CalibrationSet | null): void {
  const needing = passes.find(({ needsCalibration }) => needsCalibration === true)
  if (set === null && needing !== undefined)
    throw new QuantizationError(
      `${passName(needing)} looks at what layers are given, and there is no calibration text; pass \`calibration\` (--calibration FILE)`,
    )
}

function partsOf(
  { path, names, source }: OpenedModel,
  { head, embedding }: Pick<ResolvedOptions<typeof pipelineOptionTable>, 'head' | 'embedding'>,
): RunParts {
  // Files of tied models may hold the head too; it is not read.
  if (!head || !names.isTied) return { head: head && names.lmHead !== null, embedding }
  if (embedding) return { head: false, embedding }
  throw new QuantizationError(
    `${path}: the head of ${source.names().length} tensors is tied: its weight is the embedding's. Quantize the embedding instead (\`embedding: true\`), which does both, or leave the head out`,
  )
}

/** Embedding and head where no pass was run on them: they are saved as they were, and the format names them. */
function unvisited({ design, names }: OpenedModel, parts: RunParts): SavedModule[] {
  const asStored = { weight: null, inputActivations: null }
  return [
    ...(parts.embedding ? [] : [{ name: design.embedding, role: 'embedding', ...asStored } as const]),
    ...(parts.head || names.isTied ? [] : [{ name: design.lmHead, role: 'head', ...asStored } as const]),
  ]
}

function prefixOf(record: string, { design, config }: OpenedModel): string {
  if (record === 'embedding') return design.embedding
  if (record === 'head') return design.lmHead
  const index = Array.from({ length: config.numLayers }, (_, i) => i).find((i) => recordName(i) === record)
  return `${design.layers}.${index}`
}

/** Config and weights by size and time: reading them all would take longer than much of the work. */
function fingerprintOf({ path, checkpoint }: OpenedModel): string {
  const hash = createHash('sha256').update(JSON.stringify(checkpoint.config))
  for (const name of readdirSync(path).sort()) {
    if (!name.endsWith('.safetensors')) continue
    const { size, mtimeMs } = statSync(join(path, name))
    hash.update(`${name} ${size} ${mtimeMs};`)
  }
  return hash.digest('hex')
}

function bytesOf(budget: { readonly bytes: number } | { readonly fractionOfFree: number }): number {
  return 'bytes' in budget ? budget.bytes : Math.floor(budget.fractionOfFree * availableMemory())
}
