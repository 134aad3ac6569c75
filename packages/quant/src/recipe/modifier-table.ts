import type { z } from 'zod'
import type { LayerPass } from '../decoder-layer.ts'
import type { SelectsModule } from '../module-selector.ts'
import type { KvCacheScheme } from '../weight-scheme.ts'
import type { RecipePlace } from './recipe-error.ts'

/** What one modifier of a recipe comes to. */
export interface MadePasses {
  readonly passes: readonly LayerPass[]
  /** Which modules these quantize; `null`: they quantize none. */
  readonly selects: SelectsModule | null
  /** Of the KV cache, whose scales are found once all passes have changed what makes keys and values. */
  readonly cacheScheme?: KvCacheScheme | null
}

/** A modifier as a recipe states it. */
export interface StatedModifier {
  readonly name: string
  readonly args: object
  readonly place: RecipePlace
}

export interface ModifierContext {
  readonly place: RecipePlace
  /** Those behind it, not yet checked. */
  readonly later: readonly StatedModifier[]
}

/** A modifier by llm-compressor's name: its fields, and the passes that they make. */
export interface ModifierDefinition {
  readonly fields: z.ZodObject
  /** Fields of llm-compressor that mean nothing here, and what to do. */
  readonly foreign: Readonly<Record<string, string>>
  create(args: Readonly<Record<string, unknown>>, context: ModifierContext): MadePasses
}

export type ModifierTable = Readonly<Record<string, ModifierDefinition>>

/** A definition whose `create` knows the types of its fields. */
export function defineModifier<Fields extends z.ZodObject>(definition: {
  readonly fields: Fields
  readonly foreign: Readonly<Record<string, string>>
  readonly create: (args: z.output<Fields>, context: ModifierContext) => MadePasses
}): ModifierDefinition {
  const { fields, foreign, create } = definition
  // `parseRecipe` hands over what `fields` has parsed.
  return { fields, foreign, create: (args, context) => create(args as z.output<Fields>, context) }
}
