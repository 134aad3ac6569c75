import { JinjaError } from './jinja-error.ts'

/** Real templates take a few thousand steps. */
const maxSteps = 1_000_000
/** Characters of one text; a prompt of a million tokens has some 5 million. */
const maxLength = 2 ** 23
/** Characters, and list items, of all values made on the way. */
const maxChars = 2 ** 28
const maxItems = 2 ** 23
/** Characters read by searches, slices and the like. */
const maxWork = 2 ** 32
/** For what the other bounds do not see. */
const maxMs = 3_000
const stepsPerLook = 1024
/** Characters that take a millisecond, or some. */
const charsPerLook = 65_536
/** Values inside values, calls inside calls. Python's own limit is 1,000 frames. */
const maxValueDepth = 500
const maxCallDepth = 150

/**
 * A template is hostile input: it may neither hang the server nor fill its memory. What a template makes is counted
 * while it is made, or before. One budget is for one rendering.
 */
export class Budget {
  readonly #startedAt = performance.now()
  #numSteps = 0
  #numChars = 0
  #numItems = 0
  #numRead = 0
  #numCharsUnlooked = 0
  #callDepth = 0

  /** One more node is evaluated, or one more value compared. */
  step(): void {
    if (++this.#numSteps > maxSteps)
      throw new JinjaError(`it takes more than ${maxSteps} steps; does it loop without end?`)
    if (this.#numSteps % stepsPerLook === 0) this.#look()
  }

  /** A text may grow to this length. */
  growth(length: number): void {
    if (length > maxLength)
      throw new JinjaError(`it makes a text of ${length} characters; at most ${maxLength} are allowed`)
  }

  /** A text of this length comes to be. */
  text(length: number): void {
    this.growth(length)
    this.#numChars += length
    this.#spend(length)
    if (this.#numChars > maxChars) throw new JinjaError(`it makes more than ${maxChars} characters of text on the way`)
  }

  /** A list of this many items comes to be, or grows by them. */
  items(count: number): void {
    this.#numItems += count
    if (this.#numItems > maxItems) throw new JinjaError(`it makes lists of more than ${maxItems} items on the way`)
  }

  /** Text of this length is looked through. */
  read(length: number): void {
    this.#numRead += length
    if (this.#numRead > maxWork) throw new JinjaError('it searches too much text; does it loop without end?')
    this.#spend(length)
  }

  /** Values nested this deep are walked through. */
  depth(depth: number): void {
    if (depth > maxValueDepth) throw new JinjaError(`a value is nested more than ${maxValueDepth} levels deep`)
  }

  call<T>(run: () => T): T {
    if (++this.#callDepth > maxCallDepth) throw new JinjaError(`macros call each other more than ${maxCallDepth} deep`)
    try {
      return run()
    } finally {
      this.#callDepth--
    }
  }

  #spend(numChars: number): void {
    this.#numCharsUnlooked += numChars
    if (this.#numCharsUnlooked > charsPerLook) this.#look()
  }

  #look(): void {
    this.#numCharsUnlooked = 0
    if (performance.now() - this.#startedAt > maxMs)
      throw new JinjaError(`it takes more than ${maxMs / 1000} seconds; does it loop without end?`)
  }
}

/** Text that grows piece by piece within the budget. */
export class TextWriter {
  readonly #budget: Budget
  text = ''

  constructor(budget: Budget) {
    this.#budget = budget
  }

  write(piece: string): void {
    this.#budget.growth(this.text.length + piece.length)
    this.#budget.text(piece.length)
    this.text += piece
  }
}
