import { type EngineOptionGroup, type EngineOptions, engineOptionTable, type OptionTable } from '@octavo/core'
import { type ParallelOptions, parallelOptionTable, serveIfLaunched } from '@octavo/parallel/executor'
import type { Command } from 'commander'
import type { BackendFlags } from '../backend-modules.ts'
import { applyEnvironment } from '../config/option-sources.ts'
import { backendOptionTable } from './backend-options.ts'
import { addOptionFlags } from './option-flags.ts'

/** What commander leaves in the options object: the names are EngineOptions' own. */
export type EngineFlags = Omit<EngineOptions, 'model'> & BackendFlags & ParallelOptions

/** Of a command that serves many requests. */
export const servingGroups: readonly EngineOptionGroup[] = ['model', 'device', 'cache', 'scheduler', 'serving']

/** Of a command that holds one conversation, whose `--seed` is a request's. */
export const localGroups: readonly EngineOptionGroup[] = ['model', 'device', 'cache', 'scheduler']

/** The options that a command takes as flags: all of some groups, but for the model, which is an argument. */
function flagsOfGroups(groups: readonly EngineOptionGroup[]): OptionTable {
  const { model: _, ...table } = engineOptionTable
  return Object.fromEntries(Object.entries(table).filter(([, { group }]) => groups.includes(group)))
}

export function addEngineFlags(command: Command, groups: readonly EngineOptionGroup[]): Command {
  const table = { ...flagsOfGroups(groups), ...backendOptionTable, ...parallelOptionTable }
  addOptionFlags(command, table).hook('preAction', () => applyEnvironment(command, table))
  // Of ranks that an MPI launcher started, one runs the command and the others serve it.
  return command.hook('preAction', () => serveIfLaunched(parallelOptionsOf(command.opts<EngineFlags>())))
}

/** What of the flags says on which ranks the model runs. */
export function parallelOptionsOf(flags: EngineFlags): ParallelOptions {
  const names = Object.keys(parallelOptionTable) as (keyof ParallelOptions)[]
  return Object.fromEntries(names.map((name) => [name, flags[name]]))
}

/** Only what core knows as an option: commander's object holds the command's other flags too. */
export function engineOptionsOf(
  model: string,
  flags: EngineFlags,
  groups: readonly EngineOptionGroup[],
): EngineOptions {
  const given = Object.keys(flagsOfGroups(groups)).map((name) => [name, flags[name as keyof EngineFlags]])
  return { model, ...Object.fromEntries(given) } as EngineOptions
}
