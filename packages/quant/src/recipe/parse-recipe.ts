import { InvalidConfigError } from '@octavo/core/backend'
import { parse, YAMLParseError } from 'yaml'
import type { LayerPass } from '../decoder-layer.ts'
import type { SelectsModule } from '../module-selector.ts'
import { kvCacheScales } from '../quantize/kv-cache-scales-pass.ts'
import type { KvCacheScheme } from '../weight-scheme.ts'
import type { ModifierTable, StatedModifier } from './modifier-table.ts'
import { modifierTable } from './modifiers.ts'
import { checkFields, parseFields, refuseAt } from './recipe-error.ts'
import type { RecipePlace } from './recipe-error.ts'
import type { Recipe } from './recipe.ts'

const maxRecipeLength = 1024 * 1024
const maxAliases = 100

/** @throws InvalidConfigError for text that is neither YAML nor JSON, and as `parseRecipe` */
export function parseRecipeText(text: string): Recipe {
  if (text.length > maxRecipeLength)
    throw new InvalidConfigError('recipe', `has ${text.length} characters; at most ${maxRecipeLength} are read`)
  let value: unknown
  try {
    // JSON is YAML too.
    value = parse(text, { maxAliasCount: maxAliases })
  } catch (error) {
    if (!(error instanceof YAMLParseError) && !(error instanceof ReferenceError)) throw error
    throw new InvalidConfigError('recipe', `is neither YAML nor JSON: ${error.message.split('\n')[0]}`, {
      cause: error,
    })
  }
  return parseRecipe(value)
}

/**
 * A recipe in llm-compressor's vocabulary, as data: stages, a map of modifiers, or a list of such maps.
 *
 * @throws InvalidConfigError naming the field that is unknown, with the nearest known one, or whose value is wrong
 */
export function parseRecipe(value: unknown, table: ModifierTable = modifierTable): Recipe {
  const modifiers = listModifiers(value, table)
  if (modifiers.length === 0) refuseAt([], `has no modifiers; known are ${Object.keys(table).join(', ')}`)
  const passes: LayerPass[] = []
  const selectors: SelectsModule[] = []
  let cacheScheme: KvCacheScheme | null = null
  for (const [i, { name, args, place }] of modifiers.entries()) {
    const { fields, foreign, create } = table[name]!
    checkFields(args, { place, known: Object.keys(fields.shape), foreign })
    const made = create(parseFields(fields, args, place), { place, later: modifiers.slice(i + 1) })
    passes.push(...made.passes)
    if (made.selects !== null) selectors.push(made.selects)
    if (made.cacheScheme == null) continue
    if (cacheScheme !== null)
      refuseAt([...place, 'kv_cache_scheme'], 'is said by a modifier before it too; a model has one: leave one out')
    cacheScheme = made.cacheScheme
  }
  if (cacheScheme !== null) passes.push(kvCacheScales(cacheScheme))
  return { passes, selects: (module) => selectors.some((selects) => selects(module)) }
}

function listModifiers(value: unknown, table: ModifierTable): StatedModifier[] {
  if (Array.isArray(value)) return value.flatMap((item: unknown, i) => modifiersOf(item, [i], table))
  if (!isMap(value)) return refuseAt([], 'must be an object of stages (`quant_stage`) or of modifiers (`GPTQModifier`)')
  const stages = Object.keys(value).filter((name) => name.endsWith('_stage'))
  if (stages.length === 0) return groupsOf(value, [], table)
  const other = Object.keys(value).find((name) => !name.endsWith('_stage'))
  if (other !== undefined) refuseAt([other], 'stands beside stages; names of stages end in "_stage"')
  return stages.flatMap((stage) => groupsOf(value[stage], [stage], table))
}

/** `quant_modifiers: { … }`, one or several; or the modifiers themselves. */
function groupsOf(value: unknown, place: RecipePlace, table: ModifierTable): StatedModifier[] {
  if (!isMap(value)) return refuseAt(place, 'must be an object of modifiers')
  const groups = Object.keys(value).filter((name) => name.endsWith('_modifiers'))
  if (groups.length === 0) return modifiersOf(value, place, table)
  const other = Object.keys(value).find((name) => !name.endsWith('_modifiers'))
  if (other !== undefined)
    refuseAt([...place, other], 'stands beside modifiers; names of such groups end in "_modifiers"')
  return groups.flatMap((group) => modifiersOf(value[group], [...place, group], table))
}

function modifiersOf(value: unknown, place: RecipePlace, table: ModifierTable): StatedModifier[] {
  if (!isMap(value)) return refuseAt(place, 'must be an object of modifiers')
  checkFields(value, { place, known: Object.keys(table), noun: 'modifier' })
  return Object.entries(value).map(([name, args]) => {
    if (args !== null && !isMap(args)) refuseAt([...place, name], 'must be an object of its fields')
    return { name, args: args ?? {}, place: [...place, name] }
  })
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
