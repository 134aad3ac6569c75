import { InvalidConfigError } from '../errors.ts'
import { nearestName } from '../util/nearest-name.ts'
import { type EngineOptionGroup, type EngineOptions, engineOptionTable } from './engine-options.ts'
import { foreignOptionRemedy } from './foreign-options.ts'
import { type ResolvedOptions, resolveOptions } from './option-table.ts'

type Table = typeof engineOptionTable

interface Resolved extends Omit<ResolvedOptions<Table>, 'model' | 'servedModelName'> {
  readonly model: string
  /** One name at least. */
  readonly servedModelName: readonly string[]
}

/** The options of one group under their own names: `{ blockSize, kvCacheMemory, … }` for `cache`. */
type GroupConfig<Group extends EngineOptionGroup> = {
  readonly [Name in keyof Resolved as Table[Name]['group'] extends Group ? Name : never]: Resolved[Name]
}

/** Complete, validated, frozen, in the groups of the table: `config.cache.blockSize`. Plain data that crosses to the engine thread. */
export type EngineConfig = { readonly [Group in EngineOptionGroup]: GroupConfig<Group> }

/** @throws InvalidConfigError naming the option, its value and what is allowed; unknown options are errors. */
export function resolveEngineConfig(options: EngineOptions): EngineConfig {
  checkNames(options)
  const { model, servedModelName, ...rest } = resolveOptions(engineOptionTable, { ...options })
  if (model === null) throw new InvalidConfigError('model', 'must be a folder, a .gguf file or a Hugging Face repo id')
  checkStepBudget(rest)
  return inGroups({ ...rest, model, servedModelName: servedModelName ?? [model] })
}

function inGroups(resolved: Resolved): EngineConfig {
  const groups: Record<string, Record<string, unknown>> = {}
  for (const [name, { group }] of Object.entries(engineOptionTable))
    (groups[group] ??= {})[name] = resolved[name as keyof Resolved]
  for (const group of Object.values(groups)) Object.freeze(group)
  return Object.freeze(groups) as unknown as EngineConfig // each name where its row puts it, as the type says
}

function checkNames(options: EngineOptions): void {
  const known = Object.keys(engineOptionTable)
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue
    throw new InvalidConfigError(name, `is not an option; ${foreignOptionRemedy(name) ?? suggest(name, known)}`)
  }
}

function suggest(name: string, known: string[]): string {
  const nearest = nearestName(name, known)
  return nearest === null ? `the known ones are ${known.sort().join(', ')}` : `did you mean ${nearest}?`
}

/** The scheduler checks the same again, but after the weights are loaded. */
function checkStepBudget({
  maxNumBatchedTokens,
  maxNumSeqs,
  maxModelLen,
  enableChunkedPrefill,
}: Pick<Resolved, 'maxNumBatchedTokens' | 'maxNumSeqs' | 'maxModelLen' | 'enableChunkedPrefill'>): void {
  if (maxNumBatchedTokens < maxNumSeqs) {
    throw new InvalidConfigError(
      'maxNumBatchedTokens',
      `is ${maxNumBatchedTokens}, less than maxNumSeqs (${maxNumSeqs}); every running sequence needs one token per step, so raise it or lower maxNumSeqs`,
    )
  }
  if (!enableChunkedPrefill && maxModelLen !== null && maxNumBatchedTokens < maxModelLen) {
    throw new InvalidConfigError(
      'maxNumBatchedTokens',
      `is ${maxNumBatchedTokens}; without chunked prefill it must be at least maxModelLen (${maxModelLen})`,
    )
  }
}
