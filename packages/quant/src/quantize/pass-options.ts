import { consoleLogger } from '@octavo/core'
import type { Logger } from '@octavo/core'
import { InvalidConfigError } from '@octavo/core/backend'
import { QuantizationError } from '@octavo/core/quantization'
import type { DecoderLayer, LayerModule } from '../decoder-layer.ts'
import { createModuleSelector } from '../module-selector.ts'
import type { ModuleSelection } from '../module-selector.ts'
import type { ActivationScheme, WeightScheme } from '../weight-scheme.ts'
import { checkScheme } from './scheme-format.ts'
import { resolveScheme } from './scheme-options.ts'
import type { SchemeOptions } from './scheme-options.ts'

/** What all passes that quantize weights take. */
export interface QuantizingOptions extends SchemeOptions, ModuleSelection {
  /** How inputs of these modules are rounded when the model runs; default: they are not. */
  readonly activations?: ActivationScheme | null
  /** Other bits for modules of these names, as `chooseBits` finds them. */
  readonly bitsOf?: Readonly<Record<string, number>>
  /** What becomes of a module that could not be quantized as asked is said here. Default: stderr. */
  readonly logger?: Logger
}

/** A module to be quantized, and to what. */
export interface ModuleTask {
  readonly module: LayerModule
  readonly scheme: WeightScheme
}

export interface QuantizingPlan {
  readonly logger: Logger
  /** What tells this plan from another, as plain data. */
  readonly identity: unknown
  /** The modules that are selected and not quantized yet. @throws QuantizationError where groups do not fit. */
  tasksOf(layer: DecoderLayer): ModuleTask[]
  /** Hands over a result, with how inputs are to be rounded. */
  finish(module: LayerModule, weight: Parameters<LayerModule['setQuantized']>[0]): void
}

/** @throws InvalidConfigError for options that do not go together. */
export function planQuantizing(options: QuantizingOptions): QuantizingPlan {
  const { logger = consoleLogger, activations = null, bitsOf = {}, targets, ignore } = options
  const scheme = resolveScheme(options)
  const selects = createModuleSelector({ ...(targets && { targets }), ...(ignore && { ignore }) })
  for (const [name, numBits] of Object.entries(bitsOf)) checkBits(name, { ...scheme, numBits })
  return {
    logger,
    identity: { scheme, activations, bitsOf, targets: targets ?? null, ignore: ignore ?? null },
    tasksOf: (layer) =>
      layer.modules
        .filter((module) => module.quantized === null && selects(module))
        .map((module) => {
          const numBits = Object.hasOwn(bitsOf, module.name) ? bitsOf[module.name]! : scheme.numBits
          const task = { module, scheme: numBits === scheme.numBits ? scheme : { ...scheme, numBits } }
          checkShape(layer, task)
          return task
        }),
    finish(module, weight) {
      module.setQuantized(weight)
      if (activations !== null) module.setInputActivations(activations)
    },
  }
}

function checkBits(name: string, scheme: WeightScheme): void {
  try {
    checkScheme(scheme)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    throw new InvalidConfigError('bitsOf', `${name}: ${error.message}`, { cause: error })
  }
}

/** Readers of these formats take whole groups only. */
function checkShape({ name }: DecoderLayer, { module, scheme }: ModuleTask): void {
  const { strategy, groupSize } = scheme
  if (strategy !== 'group' || module.cols % groupSize! === 0) return
  throw new QuantizationError(
    `its ${module.cols} columns are no whole number of groups of ${groupSize}; choose a group size that divides ${module.cols}, 'channel', or ignore the module`,
    { layer: name, module: module.name },
  )
}

/** Runs `quantize`, and says of which module its errors are. */
export function inModule<T>({ name }: DecoderLayer, module: LayerModule, quantize: () => T): T {
  try {
    return quantize()
  } catch (error) {
    if (!(error instanceof QuantizationError) || error.module !== null) throw error
    throw new QuantizationError(error.message, { layer: name, module: module.name, cause: error })
  }
}
