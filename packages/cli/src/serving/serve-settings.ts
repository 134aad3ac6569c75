import {
  engineOptionTable,
  InvalidConfigError,
  type OptionTable,
  type ResolvedOptions,
  resolveOptions,
} from '@octavo/core'
import { parallelOptionTable } from '@octavo/parallel/executor'
import type { Command } from 'commander'
import { type ConfigFile, keyOf, readConfigFile } from '../config/config-file.ts'
import { applyConfigFile, applyEnvironment, isGiven, readGiven } from '../config/option-sources.ts'
import { currentVariables, type Variables } from '../config/variables.ts'
import { backendOptionTable } from '../flags/backend-options.ts'
import type { EngineFlags } from '../flags/engine-flags.ts'
import { serveOptionTable } from '../flags/serve-options.ts'
import { UsageError } from '../ui/report-error.ts'
import type { WantedModel } from './open-models.ts'

const modelTable: OptionTable = { ...engineOptionTable, ...backendOptionTable, ...parallelOptionTable }

/** Every option of `octavo serve`: flags, variables and files have the same. */
export const serveTable: OptionTable = { ...modelTable, ...serveOptionTable }

export interface ServeSettings {
  readonly server: ResolvedOptions<typeof serveOptionTable>
  readonly models: readonly WantedModel[]
  readonly file: string | null
}

/** The models of each command's file, until the command runs. */
const files = new WeakMap<Command, ConfigFile>()

/** Flags before variables before the file, which a flag or a variable names. @throws InvalidConfigError */
export function gatherOptions(command: Command, env: Variables = currentVariables()): void {
  const [model] = command.args
  if (model !== undefined) command.setOptionValueWithSource('model', model, 'cli')
  applyEnvironment(command, serveTable, env)
  const file = command.getOptionValue('config') as unknown
  if (typeof file !== 'string') return
  const content = readConfigFile(file, { table: serveTable, modelTable })
  applyConfigFile(command, serveTable, { file, options: content.options })
  files.set(command, content)
}

/** @throws InvalidConfigError */
export function serveSettings(command: Command): ServeSettings {
  const flags = command.opts<EngineFlags & { model?: string }>()
  const server = resolveOptions(serveOptionTable, { ...flags })
  const models = files.get(command)?.models ?? []
  const { model, ...others } = flags
  if (models.length === 0) {
    if (model === undefined) throw new UsageError('No model; name one: octavo serve MODEL.')
    return { server, models: [{ model, flags: others }], file: server.config }
  }
  if (model !== undefined)
    throw new UsageError(`A model is given beside the models of ${server.config}; leave one out.`)
  return {
    server,
    models: models.map((entry, index) => modelOf(command, { entry, file: server.config ?? '', index, others })),
    file: server.config,
  }
}

interface Entry {
  readonly entry: Readonly<Record<string, unknown>>
  readonly file: string
  readonly index: number
  readonly others: EngineFlags
}

/** What flags and variables say holds for every model, before its own options and those of the file. */
function modelOf(command: Command, { entry, file, index, others }: Entry): WantedModel {
  const own: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(entry)) {
    const row = modelTable[name]
    if (row !== undefined && !isGiven(command, name))
      own[name] = readGiven({ name, row, value, from: `${file}, model ${index + 1}: ${keyOf(name)}` })
  }
  const { model, ...flags } = own
  if (typeof model !== 'string') throw new InvalidConfigError(`${file}, model ${index + 1}`, 'has no model.')
  return { model, flags: { ...others, ...flags } }
}
