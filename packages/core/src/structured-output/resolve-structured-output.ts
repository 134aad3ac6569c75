import { InvalidRequestError } from '../errors.ts'
import type { StructuredOutput } from './structured-output.ts'
import type { TagFormat } from './structural-tag.ts'

/**
 * What is asked for as a grammar, checked.
 * @throws InvalidRequestError naming what is wrong with it, in the field `structuredOutput`
 */
export function resolveStructuredOutput(wanted: StructuredOutput): TagFormat {
  switch (wanted.type) {
    case 'choice':
      return { type: 'or', elements: wanted.choices.map((value) => ({ type: 'const_string', value })) }
    default:
      throw new InvalidRequestError(`not yet: ${wanted.type}`, 'structuredOutput')
  }
}
