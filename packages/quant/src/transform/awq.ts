import { InvalidConfigError } from '@octavo/core/backend'
import { definePass } from '../decoder-layer.ts'
import type { DecoderLayer, LayerPass } from '../decoder-layer.ts'
import { planQuantizing } from '../quantize/pass-options.ts'
import type { QuantizingOptions, QuantizingPlan } from '../quantize/pass-options.ts'
import { resolveScheme } from '../quantize/scheme-options.ts'
import { roundToNearest } from '../quantize/round-to-nearest-pass.ts'
import { collectAwqInputs } from './awq-inputs.ts'
import { awqTrials } from './awq-scales.ts'
import type { AwqTrial, DuoScaling } from './awq-scales.ts'
import { searchScales } from './awq-search.ts'
import { createPlaceChooser } from './choose-places.ts'
import type { ChoosePlaces, SmoothMapping } from './choose-places.ts'
import { clipWeights } from './clip-weights.ts'
import { foldScales } from './fold-scales.ts'
import { refineScales } from './refine-scales.ts'
import { createPlaceReporter, refuseQuantized } from './report-places.ts'
import type { SmoothPlace } from './smooth-place.ts'

export interface AwqOptions extends QuantizingOptions {
  /** Default: all places of the model's design where channels can be scaled; of mixtures of experts not those before the router. */
  readonly mappings?: readonly SmoothMapping[] | null
  /** Whether scales look at the weights too, in all trials but the identity; 'both': in half of them. Default true. */
  readonly duoScaling?: DuoScaling
  /** Scales that are tried. Default 20. */
  readonly gridSize?: number
  /** Tokens on which they are tried, in whole batches where attention is among them. Default 2048. */
  readonly maxSearchTokens?: number
  /**
   * Whether outliers of weights are cut where outputs change less then (AutoAWQ's clipping, by all calibration tokens and of
   * queries and keys too). Default: by `awq` where all of a row shares a scale, by `awqTransform` never.
   */
  readonly clip?: boolean
  /**
   * How often all channels are gone through once more, each to take the scale near its own with which all that read it lose
   * least; it needs `clip`. Default: by `awq` once where all of a row shares a scale and is cut, by `awqTransform` never.
   */
  readonly refine?: number
}

/**
 * AWQ (Lin et al. 2023, arXiv 2306.00978): scales channels so that rounding hurts outputs least, then rounds to the nearest.
 *
 * @throws InvalidConfigError
 */
export function awq(options: AwqOptions = {}): LayerPass {
  const isChannel = resolveScheme(options).strategy === 'channel'
  const { clip = isChannel, refine = clip && isChannel ? 1 : 0 } = options
  const [transform, round] = [awqTransform({ ...options, clip, refine }), roundToNearest(options)]
  return definePass(
    { name: 'awq', options: transform.identity, needsCalibration: true, quantizes: true },
    async (layer) => {
      await transform(layer)
      await round(layer)
    },
  )
}

/**
 * AWQ's scales without its rounding, as llm-compressor has it: for what quantizes after it, with the same scheme.
 *
 * @throws InvalidConfigError
 */
export function awqTransform(options: AwqOptions = {}): LayerPass {
  const plan = planQuantizing(options)
  const {
    mappings = null,
    duoScaling = true,
    gridSize = 20,
    maxSearchTokens = 2048,
    clip = false,
    refine = 0,
  } = options
  checkOptions(options, { duoScaling, gridSize, maxSearchTokens, clip, refine })
  const transform: Transform = {
    plan,
    maxSearchTokens,
    clip,
    refine,
    choose: createPlaceChooser(mappings),
    report: createPlaceReporter('awq', plan.logger),
    trials: awqTrials(duoScaling, gridSize),
  }
  const identity = { plan: plan.identity, mappings, duoScaling, gridSize, maxSearchTokens, clip, refine }
  return definePass({ name: 'awqTransform', options: identity, needsCalibration: true }, (layer) =>
    layer.kind === 'decoder' ? transformLayer(layer, transform) : undefined,
  )
}

function checkOptions(
  options: AwqOptions,
  {
    duoScaling,
    gridSize,
    maxSearchTokens,
    clip,
    refine,
  }: Required<Pick<AwqOptions, 'duoScaling' | 'gridSize' | 'maxSearchTokens' | 'clip' | 'refine'>>,
): void {
  const { strategy } = resolveScheme(options)
  if (duoScaling !== true && duoScaling !== false && duoScaling !== 'both')
    throw new InvalidConfigError('duoScaling', `must be true, false or 'both', got ${JSON.stringify(duoScaling)}`)
  if (clip && strategy !== 'channel' && strategy !== 'group')
    throw new InvalidConfigError('clip', 'must be false where rows share a scale, as each row is cut by itself')
  if (!Number.isInteger(refine) || refine < 0)
    throw new InvalidConfigError('refine', `must be a whole number of sweeps, 0 for none, got ${refine}`)
  if (refine > 0 && !clip)
    throw new InvalidConfigError(
      'refine',
      `must be 0 without clip, got ${refine}: channels are refined for rows that are cut`,
    )
  if (duoScaling !== false && strategy === 'tensor')
    throw new InvalidConfigError('duoScaling', 'must be false where a whole matrix has one scale')
  const least = duoScaling === 'both' ? 4 : 3
  if (!Number.isInteger(gridSize) || gridSize < least)
    throw new InvalidConfigError('gridSize', `must be a whole number of ${least} or more, got ${gridSize}`)
  if (!Number.isInteger(maxSearchTokens) || maxSearchTokens < 1)
    throw new InvalidConfigError('maxSearchTokens', `must be a whole number of 1 or more, got ${maxSearchTokens}`)
}

interface Transform {
  readonly plan: QuantizingPlan
  readonly choose: ChoosePlaces
  readonly report: ReturnType<typeof createPlaceReporter>
  readonly trials: readonly AwqTrial[]
  readonly maxSearchTokens: number
  readonly clip: boolean
  readonly refine: number
}

async function transformLayer(layer: DecoderLayer, transform: Transform): Promise<void> {
  const { plan, choose, report, trials, maxSearchTokens, clip, refine } = transform
  const start = performance.now()
  const tasks = plan.tasksOf(layer)
  const schemes = new Map(tasks.map(({ module, scheme }) => [module, scheme]))
  const { places, shared, missing } = choose(layer)
  const refined = refine > 0 ? shared : []
  const isRefined = (name: string): boolean => refined.some(({ smooth }) => smooth.name === name)
  report(
    layer,
    missing.filter(({ smooth }) => !isRefined(smooth)),
  )
  const isQuantized = ({ balance }: SmoothPlace): boolean => balance.some((module) => schemes.has(module))
  const [chosen, others] = [places.filter(isQuantized), refined.filter(isQuantized)]
  refuseQuantized(layer, [...chosen, ...others])
  const inputs = await collectAwqInputs(layer, chosen, maxSearchTokens)
  for (const place of chosen) {
    const result = searchScales(layer, place, { inputs, trials, schemes })
    if (result === null) {
      plan.logger.warn(`${place.smooth.name}: no calibration token reaches what reads it, hence it is not scaled`)
      continue
    }
    const { trial, error, firstError, scales } = result
    const duo = trial.isDuo ? ', with weights' : ''
    plan.logger.debug(`${place.smooth.name}: ratio ${trial.ratio.toFixed(2)}${duo}, error ${firstError} → ${error}`)
    foldScales(layer, place, scales)
    // Timers and signals get their turn.
    await new Promise(setImmediate)
  }
  if (refine > 0)
    await refineScales(layer, {
      places: [...chosen, ...others],
      tasks,
      sweeps: refine,
      onRefined: ({ smooth }, { firstError, error }) =>
        plan.logger.debug(`${smooth.name}: channel by channel, error ${firstError} → ${error}`),
    })
  if (clip) await clipWeights(layer, tasks)
  if (layer.index === 0) sayTime(layer, plan, performance.now() - start)
}

function sayTime({ config }: DecoderLayer, { logger }: QuantizingPlan, elapsedMs: number): void {
  const minutes = (elapsedMs * config.numLayers) / 60_000
  if (minutes >= 1)
    logger.info(
      `awq: ${(elapsedMs / 1000).toFixed(0)} s for the first of ${config.numLayers} layers, about ${Math.ceil(minutes)} minutes for all; a smaller maxSearchTokens or gridSize takes less`,
    )
}
