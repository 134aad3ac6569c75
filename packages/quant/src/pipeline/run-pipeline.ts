import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { availableMemory, createBackend, resolveOptions } from '@octavo/core'
import type { BackendPack, ResolvedOptions } from '@octavo/core'
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
import type { OpenedDecoder } from '../model/open-decoder.ts'
import { openFloatDecoder } from '../model/open-float-decoder.ts'
import type { Recipe } from '../recipe/recipe.ts'
import type { KvCacheScheme } from '../weight-scheme.ts'
import { checkTarget } from './check-target.ts'
import type { LayerRecord } from './layer-record.ts'
import { passIdentity, passName } from './pass-identity.ts'
import { pipelineOptionTable, saveOptionTable } from './pipeline-options.ts'
import type { PipelineOptions, SaveOptions } from './pipeline-options.ts'
import { ProgressMeter } from './progress.ts'
import { RunLock } from './run-lock.ts'
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

export interface PipelinePlan {
  readonly model: string
  readonly options: PipelineOptions
  readonly passes: readonly LayerPass[]
  readonly recipes: readonly Recipe[]
}

type RunOptions = ResolvedOptions<typeof pipelineOptionTable>

/** All that a run needs, checked. */
interface Run {
  readonly plan: PipelinePlan
  readonly options: RunOptions
  readonly save: ResolvedOptions<typeof saveOptionTable>
  readonly format: CheckpointFormat
  readonly model: OpenedDecoder
  readonly parts: RunParts
  readonly pack: BackendPack
  readonly calibration: CalibrationSet | null
  readonly signal: AbortSignal | null
}

export async function runPipeline(
  plan: PipelinePlan,
  dir: string,
  { onProgress, signal = undefined, ...given }: SaveOptions,
): Promise<SaveReport> {
  const save = resolveOptions(saveOptionTable, given)
  const { calibration = null, providers = [], ...rest } = plan.options
  const options = resolveOptions(pipelineOptionTable, rest)
  const format = resolveFormat(save.format)
  checkPasses(plan)
  const path = await locateModel({ model: plan.model, revision: options.revision })
  checkTarget(dir, { model: path, overwrite: save.overwrite })
  const model = await openFloatDecoder(path)
  try {
    const parts = resolveParts(model, options, plan.recipes)
    const { seed } = options
    const set =
      calibration === null
        ? null
        : readCalibration(calibration, {
            tokenizer: createTokenizer(model.checkpoint.readTokenizer()),
            config: model.config,
            seed,
          })
    const { pack } = await createBackend(options.backend, { providers })
    const run: Run = { plan, options, save, format, model, parts, pack, calibration: set, signal: signal ?? null }
    const lock = RunLock.acquire(dir)
    try {
      return await runOn(dir, run, onProgress)
    } finally {
      lock.release()
    }
  } finally {
    model.source.close()
  }
}

async function runOn(dir: string, run: Run, onProgress: SaveOptions['onProgress']): Promise<SaveReport> {
  const { overwrite, restart } = run.save
  const work = WorkDirectory.open({ target: dir, identity: identityOf(run), overwrite, restart })
  if (work === null) return { path: dir, weightBytes: null, modules: [] }
  const names = layerNames(run.model.config.numLayers, run.parts)
  const done = names.filter((name) => work.has(name)).length
  const progress = new ProgressMeter(onProgress, { numLayers: names.length, done })
  try {
    await workOnLayers(run, work, progress)
  } catch (error) {
    // Of nothing there is nothing to go on with, and what was wrong may be set right.
    if (!names.some((name) => work.has(name))) work.remove()
    throw error
  }
  return await writeResult(run, work, progress)
}

async function workOnLayers(run: Run, work: WorkDirectory, progress: ProgressMeter): Promise<void> {
  const { plan, options, format, model, parts, pack, calibration, signal } = run
  const batches = createBatches(calibration?.sequences ?? [], options.maxBatchTokens)
  const runtime = new LayerRuntime({ model, pack, batches })
  try {
    await runPasses({
      runtime,
      passes: plan.passes,
      parts,
      seed: options.seed,
      work,
      maxActivationBytes: bytesOf(options.maxActivationMemory),
      progress,
      signal,
      check: (layer) => checkFormat(format, layer),
    })
  } finally {
    runtime.dispose()
  }
}

async function writeResult(run: Run, work: WorkDirectory, progress: ProgressMeter): Promise<SaveReport> {
  const { save, format, model, parts, signal } = run
  const names = layerNames(model.config.numLayers, parts)
  const finished = names.map((name) => {
    const { modules, changes } = work.read(name)!
    const cacheScheme = changes.cacheScales?.scheme ?? null
    return { layer: prefixOf(name, model), modules, cacheScheme, isChanged: changes.modules.size > 0 }
  })
  const modules = finished.flatMap((layer) => layer.modules).concat(unvisited(model, parts))
  if (run.plan.passes.some(({ quantizes }) => quantizes === true) && !finished.some(({ isChanged }) => isChanged)) {
    work.remove()
    throw nothingQuantized(modules)
  }
  const decoders = finished.filter(({ layer }) => layer.startsWith(`${model.design.layers}.`))
  const weightBytes = await writeCheckpoint({
    model,
    folder: work.createCheckpointFolder(),
    format,
    modules,
    cacheScheme: sharedCacheScheme(decoders),
    layers: names.map((name) => ({ prefix: prefixOf(name, model), changes: () => work.read(name)!.changes })),
    maxShardBytes: bytesOf(save.maxShardSize),
    onProgress: (share) => progress.writing(share),
    signal,
  })
  work.publish()
  return { path: work.target, weightBytes, modules }
}

function nothingQuantized(modules: readonly SavedModule[]): QuantizationError {
  const names = modules.slice(0, 3).map(({ name }) => name)
  return new QuantizationError(
    `no module is quantized: \`targets\` and \`ignore\` leave none of the model's ${modules.length}, such as ${names.join(', ')}. Names are those of the checkpoint, in full, or \`re:\` and a pattern from their start`,
  )
}

function checkFormat(format: CheckpointFormat, { modules, changes }: LayerRecord): void {
  if (changes.cacheScales !== null && !format.hasCacheScales)
    throw new QuantizationError(
      `a pass sets scales of the KV cache, and the layout ${format.name} has none; leave the pass (kv_cache_scheme) out, or save as compressed-tensors`,
    )
  for (const module of modules) format.check(module)
}

/** Of all layers: config.json has one for the model. */
function sharedCacheScheme(
  layers: readonly { readonly layer: string; readonly cacheScheme: KvCacheScheme | null }[],
): KvCacheScheme | null {
  const scheme = layers[0]?.cacheScheme ?? null
  const other = layers.find(({ cacheScheme }) => !isDeepStrictEqual(cacheScheme, scheme))
  if (other !== undefined)
    throw new QuantizationError(
      `its scales of the KV cache are not of the kind of the first layer's; a pass has to set those of all layers or of none, by the same scheme`,
      { layer: other.layer },
    )
  return scheme
}

function identityOf({ plan, options, format, model, parts, pack, calibration }: Run): Record<string, unknown> {
  return {
    version: 2,
    model: fingerprintOf(model),
    passes: plan.passes.map(passIdentity),
    parts,
    calibration: calibration?.fingerprint ?? null,
    maxBatchTokens: options.maxBatchTokens,
    seed: options.seed,
    backend: pack.name,
    format: format.name,
  }
}

function checkPasses({ passes, options }: PipelinePlan): void {
  if (passes.length === 0) throw new QuantizationError('there is nothing to do: apply a pass or a recipe first')
  const needing = passes.find(({ needsCalibration }) => needsCalibration === true)
  if (options.calibration == null && needing !== undefined)
    throw new QuantizationError(
      `${passName(needing)} looks at what layers are given, and there is no calibration text; pass \`calibration\` (--calibration FILE)`,
    )
}

function resolveParts(
  { checkpoint, names, design }: OpenedDecoder,
  options: Pick<RunOptions, 'head' | 'embedding'>,
  recipes: readonly Recipe[],
): RunParts {
  const isSelected = (name: string, role: 'embedding' | 'head'): boolean =>
    recipes.some(({ selects }) => selects({ name, role }))
  const embedding = options.embedding ?? isSelected(design.embedding, 'embedding')
  // Files of tied models may hold the head too; it is not read.
  if (!names.isTied) return { embedding, head: options.head ?? isSelected(design.lmHead, 'head') }
  if (options.head === true && !embedding)
    throw new QuantizationError(
      `${checkpoint.path}: the head is tied: its weight is the embedding's. Quantize that instead (\`embedding: true\`), which does both, or leave the head out`,
    )
  return { embedding, head: false }
}

/** Embedding and head where no pass was run on them: they are saved as they were, and the format names them. */
function unvisited({ design, names }: OpenedDecoder, parts: RunParts): SavedModule[] {
  const asStored = { weight: null, inputActivations: null, sharedRows: 1 }
  return [
    ...(parts.embedding ? [] : [{ name: design.embedding, role: 'embedding', ...asStored } as const]),
    ...(parts.head || names.isTied ? [] : [{ name: design.lmHead, role: 'head', ...asStored } as const]),
  ]
}

function prefixOf(record: string, { design, config }: OpenedDecoder): string {
  if (record === 'embedding') return design.embedding
  if (record === 'head') return design.lmHead
  const index = Array.from({ length: config.numLayers }, (_, i) => i).find((i) => recordName(i) === record)
  return `${design.layers}.${index}`
}

/** Config and weights by size and time: reading them all would take longer than much of the work. */
function fingerprintOf({ checkpoint: { path, config } }: OpenedDecoder): string {
  const hash = createHash('sha256').update(JSON.stringify(config))
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
