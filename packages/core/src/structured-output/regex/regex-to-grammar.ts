import { InvalidRequestError } from '../../errors.ts'

/**
 * EBNF (rule `root`) of the texts that `pattern` matches as a whole.
 * @throws InvalidRequestError that names the construct and its position.
 */
export function regexToGrammar(pattern: string): string {
  throw new InvalidRequestError(pattern, 'structuredOutput')
}
