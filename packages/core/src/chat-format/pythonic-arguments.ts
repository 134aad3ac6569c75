import type { TagFormat } from '../structured-output/structural-tag.ts'
import { type ArgumentsContext, type Schema, toolError } from './arguments-context.ts'
import { joinFormats, nothing } from './join-formats.ts'
import { propertiesOf, type ToolProperty } from './properties-of.ts'

type Parts = readonly (string | TagFormat)[]

/** A call takes its arguments in one order; more than so many that are all optional would make a grammar too large. */
const maxOptional = 24

/** `key=value` with commas between, required ones first; values are JSON, which the parser takes for Python. */
export function pythonicArguments(context: ArgumentsContext): Parts {
  const properties = propertiesOf(context.parameters)
  const wrong = properties.find(({ key }) => !/^[\p{L}\p{M}\p{N}_]+$/u.test(key))
  if (wrong !== undefined)
    throw toolError(
      context.tool,
      ` has a parameter ${JSON.stringify(wrong.key)}: this model writes calls in Python's form, where a name has letters, digits and underscores only.`,
    )
  const required = properties.filter(({ isRequired }) => isRequired)
  const optional = properties.filter(({ isRequired }) => !isRequired)
  const first = required.flatMap((property, i) => [i === 0 ? '' : ', ', ...argumentOf(property, context)])
  if (required.length > 0)
    return [...first, ...optional.map((property) => maybe([', ', ...argumentOf(property, context)]))]
  if (optional.length === 0) return [nothing]
  if (optional.length > maxOptional)
    throw toolError(
      context.tool,
      ` has ${optional.length} parameters and none of them is required; at most ${maxOptional} such can be held. Require one.`,
    )
  const beginnings = optional.map((property, i) =>
    joinFormats([
      ...argumentOf(property, context),
      ...optional.slice(i + 1).map((later) => maybe([', ', ...argumentOf(later, context)])),
    ]),
  )
  return [{ type: 'or', elements: [...beginnings, nothing] }]
}

function maybe(parts: Parts): TagFormat {
  return { type: 'or', elements: [joinFormats(parts), nothing] }
}

function argumentOf({ key, schema }: ToolProperty, { grammarOf, isHeld, parameters }: ArgumentsContext): Parts {
  const { $defs, definitions } = parameters
  const whole =
    typeof schema === 'object'
      ? {
          ...($defs !== undefined && { $defs }),
          ...(definitions !== undefined && { definitions }),
          ...(schema as Schema),
        }
      : {}
  return [`${key}=`, grammarOf(isHeld ? whole : {})]
}
