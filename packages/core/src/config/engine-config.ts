import { InvalidConfigError } from '../errors.ts'
import { type EngineOptions, engineOptionTable } from './engine-options.ts'
import { foreignOptionRemedy } from './foreign-options.ts'
import { type ResolvedOptions, resolveOptions } from './option-table.ts'
import { nearestName } from '../util/nearest-name.ts'

export type { EngineOptions }

type Resolved = ResolvedOptions<typeof engineOptionTable>

/** Complete, validated, frozen; plain data that crosses to the engine thread. */
export interface EngineConfig extends Omit<Resolved, 'model' | 'servedModelName'> {
  readonly model: string
  readonly servedModelNames: readonly string[]
}

/** @throws InvalidConfigError naming the option, its value and what is allowed; unknown options are errors. */
export function resolveEngineConfig(options: EngineOptions): EngineConfig {
  checkNames(options)
  const { model, servedModelName, ...rest } = resolveOptions(engineOptionTable, { ...options })
  if (model === null) throw new InvalidConfigError('model', 'must be a folder, a .gguf file or a Hugging Face repo id')
  checkStepBudget(rest)
  return Object.freeze({ ...rest, model, servedModelNames: servedModelName ?? [model] })
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
