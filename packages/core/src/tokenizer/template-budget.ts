import { ChatTemplateError } from '../errors.ts'

/** Real templates take a few thousand steps. */
const maxSteps = 1_000_000
/** Characters of one text; a prompt of a million tokens has some 5 million. */
const maxLength = 2 ** 23
/** Characters, and list items, of all values made on the way. */
const maxChars = 2 ** 28
const maxItems = 2 ** 23
/** For what neither bound sees, such as long searches; checked now and then. */
const maxMs = 10_000
const stepsPerLook = 1024

/** A template is hostile input: it may neither hang the server nor fill its memory. One budget is for one rendering. */
export class TemplateBudget {
  readonly #startedAt = performance.now()
  #numSteps = 0
  #numChars = 0
  #numItems = 0

  /** One more node or block is evaluated. */
  step(): void {
    if (++this.#numSteps > maxSteps)
      throw new ChatTemplateError(`The chat template takes more than ${maxSteps} steps; does it loop without end?`)
    if (this.#numSteps % stepsPerLook === 0 && performance.now() - this.#startedAt > maxMs)
      throw new ChatTemplateError(
        `The chat template takes more than ${maxMs / 1000} seconds; does it loop without end?`,
      )
  }

  /** A value was made: a string or a list counts by its length. */
  make(value: unknown): void {
    if (typeof value === 'string') this.#addText(value.length)
    else if (Array.isArray(value)) this.#numItems += value.length
    if (this.#numItems > maxItems)
      throw new ChatTemplateError(`The chat template makes lists of more than ${maxItems} items on the way.`)
  }

  #addText(length: number): void {
    if (length > maxLength)
      throw new ChatTemplateError(
        `The chat template makes a text of ${length} characters; at most ${maxLength} are allowed.`,
      )
    this.#numChars += length
    if (this.#numChars > maxChars)
      throw new ChatTemplateError(`The chat template makes more than ${maxChars} characters of text on the way.`)
  }
}
