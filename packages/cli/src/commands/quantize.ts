import { readFileSync } from 'node:fs'
import { nativeProvider } from '@octavo/backend-native'
import { type BackendProvider, flagOf, formatBytes, type OptionTable } from '@octavo/core'
import {
  calibrationOptionTable,
  methodOptionTable,
  methodRecipe,
  parseRecipeText,
  pipeline,
  pipelineOptionTable,
  type QuantizationProgress,
  type Recipe,
  type SaveReport,
  saveOptionTable,
} from '@octavo/quant'
import type { Command } from 'commander'
import { backendOptionTable } from '../flags/backend-options.ts'
import { addOptionFlags } from '../flags/option-flags.ts'
import { quantizeOptionTable } from '../flags/quantize-options.ts'
import { onStopSignal } from '../shutdown.ts'
import { LayerBar } from '../ui/layer-bar.ts'
import { UsageError } from '../ui/report-error.ts'

/** By the tables' names; what is given is checked by those who take it. */
type QuantizeFlags = Readonly<Record<string, unknown>> & {
  readonly output?: string
  readonly calibration?: string
  readonly recipe?: string
  readonly head?: boolean
  readonly embedding?: boolean
  readonly threads?: number
}

export function addQuantizeCommand(program: Command): void {
  const command = program
    .command('quantize')
    .description('write a checkpoint with fewer bits for each weight')
    .argument('<model>', 'a Hugging Face repo id, a folder with safetensors files, or octavo-tiny')
  const tables = [
    quantizeOptionTable,
    methodOptionTable,
    calibrationOptionTable,
    pipelineOptionTable,
    saveOptionTable,
    backendOptionTable,
  ]
  for (const table of tables) addOptionFlags(command, table)
  command.action((model: string, flags: QuantizeFlags) => quantize(model, flags))
}

async function quantize(model: string, flags: QuantizeFlags): Promise<void> {
  const { output } = flags
  if (output === undefined) throw new UsageError('Say where the quantized model goes: --output FOLDER.')
  const recipe = recipeOf(flags)
  const bar = new LayerBar()
  const controller = new AbortController()
  const forget = onStopSignal(() => controller.abort())
  try {
    const report = await pipeline(model, {
      ...given(pipelineOptionTable, flags),
      providers: [nativeWith(flags.threads)],
      calibration:
        flags.calibration === undefined ? null : { data: flags.calibration, ...given(calibrationOptionTable, flags) },
    })
      .apply(recipe)
      .save(output, {
        ...given(saveOptionTable, flags),
        signal: controller.signal,
        onProgress: (progress: QuantizationProgress) => bar.update(progress),
      })
    bar.end()
    process.stdout.write(`${describe(report)}\n`)
  } catch (error) {
    bar.end()
    if (!controller.signal.aborted) throw error
    process.stderr.write('stopped; the same command goes on from the last finished layer\n')
    process.exitCode = 130
  } finally {
    forget()
  }
}

function recipeOf(flags: QuantizeFlags): Recipe {
  const { recipe, head = false, embedding = false } = flags
  const method = given(methodOptionTable, flags)
  if (recipe === undefined) return methodRecipe(method, { head, embedding })
  const [other] = Object.keys(method)
  if (other !== undefined)
    throw new UsageError(`--recipe says what is done, and so does ${flagOf(other)}: leave one out.`)
  return parseRecipeText(readRecipe(recipe))
}

function readRecipe(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(
      `The recipe ${file} can't be read (${error instanceof Error ? error.message : String(error)}).`,
    )
  }
}

function given(table: OptionTable, flags: QuantizeFlags): Record<string, unknown> {
  return Object.fromEntries(
    Object.keys(table).flatMap((name) => (flags[name] === undefined ? [] : [[name, flags[name]]])),
  )
}

/** Calibration is run in float32, so that what layers are given depends on no rounding of the backend's. */
function nativeWith(threads: number | undefined): BackendProvider {
  return {
    ...nativeProvider,
    create: (options, share) =>
      nativeProvider.create({ activations: 'float32', ...(threads !== undefined && { threads }), ...options }, share),
  }
}

function describe({ path, weightBytes, modules }: SaveReport): string {
  if (weightBytes === null) return `${path}: was finished already`
  const quantized = modules.filter(({ weight }) => weight !== null)
  return `${path}: ${formatBytes(weightBytes)} of weights, ${quantized.length} of ${modules.length} modules quantized`
}
