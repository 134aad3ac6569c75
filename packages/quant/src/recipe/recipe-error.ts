import { nearestName } from '@octavo/core'
import { InvalidConfigError } from '@octavo/core/backend'
import type { z } from 'zod'

/** A place in a recipe, as one would write it: `quant_stage.quant_modifiers.GPTQModifier`. */
export type RecipePlace = readonly (string | number)[]

export function refuseAt(place: RecipePlace, reason: string, options?: ErrorOptions): never {
  throw new InvalidConfigError(place.length === 0 ? 'recipe' : place.join('.'), reason, options)
}

export interface KnownFields {
  readonly place: RecipePlace
  readonly known: readonly string[]
  /** Fields of llm-compressor that mean nothing here, and what to do. */
  readonly foreign?: Readonly<Record<string, string>>
  /** What such a field is called: 'field', 'modifier'. */
  readonly noun?: string
}

/** @throws InvalidConfigError naming the field that is not known, and the one that was probably meant */
export function checkFields(value: object, { place, known, foreign = {}, noun = 'field' }: KnownFields): void {
  for (const [name, given] of Object.entries(value)) {
    if (known.includes(name)) continue
    const reason = Object.hasOwn(foreign, name) ? foreign[name] : undefined
    if (reason !== undefined) {
      // What tools write of what was not asked for.
      if (isNothing(given)) continue
      refuseAt([...place, name], reason)
    }
    const nearest = nearestName(name, known)
    const hint = nearest === null ? '.' : `; did you mean "${nearest}"?`
    refuseAt([...place, name], `there is no ${noun} of this name${hint} Known are ${known.join(', ')}`)
  }
}

function isNothing(value: unknown): boolean {
  return value === null || (typeof value === 'object' && Object.keys(value).length === 0)
}

/** @throws InvalidConfigError naming the field whose value is wrong */
export function parseFields<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  place: RecipePlace,
): z.output<Schema> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const path = issue?.path.filter((part) => typeof part !== 'symbol') ?? []
  refuseAt([...place, ...path], issue?.message ?? 'is wrong')
}
