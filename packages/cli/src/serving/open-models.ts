import type { EngineClient } from '@octavo/core'
import { InvalidConfigError } from '@octavo/core'
import { createModelRouter } from '@octavo/server'
import { type EngineFlags, engineOptionsOf, servingGroups } from '../flags/engine-flags.ts'
import { openEngine, type OpenEngineOptions } from '../open-engine.ts'

/** A model to serve, with its options. */
export interface WantedModel {
  readonly model: string
  readonly flags: EngineFlags
}

/** One engine for each, one after the other, so that each sees what memory the ones before have left. */
export async function openModels(wanted: readonly WantedModel[], options: OpenEngineOptions): Promise<EngineClient> {
  const names = wanted.map(({ model, flags }) => [flags.servedModelName ?? model].flat()[0] ?? model)
  const twin = names.find((name, index) => names.indexOf(name) !== index)
  if (twin !== undefined)
    throw new InvalidConfigError(
      'models',
      `two have the name ${JSON.stringify(twin)}; give one another served-model-name.`,
    )
  const engines: EngineClient[] = []
  try {
    for (const { model, flags } of wanted)
      engines.push(await openEngine(engineOptionsOf(model, flags, servingGroups), flags, options))
  } catch (error) {
    await Promise.all(engines.map((engine) => engine.shutdown()))
    throw error
  }
  const [only] = engines
  if (only !== undefined && engines.length === 1) return only
  return createModelRouter(Object.fromEntries(engines.map((engine, index) => [names[index], engine])))
}
