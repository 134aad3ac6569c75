import { InvalidRequestError } from '../errors.ts'

/** Whatever a user sends costs at most this much; one step is about a microsecond, so a translation ends within a second or two. */
export const maxTranslationSteps = 400_000

/** Counts the work of one translation, so that no input can hold the thread that it runs on. */
export class WorkBudget {
  private numSteps = 0
  /** Where the translation stands: a JSON pointer, or what is being translated. */
  place: string

  constructor(place: string) {
    this.place = place
  }

  spend(numSteps: number): void {
    this.numSteps += numSteps
    if (this.numSteps <= maxTranslationSteps) return
    throw new InvalidRequestError(
      [
        { field: 'structuredOutput' },
        `: ${this.place} takes more than ${maxTranslationSteps} steps to translate into a grammar; make it smaller: fewer combined alternatives (anyOf, allOf), shorter patterns and counted repetitions`,
      ],
      'structuredOutput',
    )
  }
}
