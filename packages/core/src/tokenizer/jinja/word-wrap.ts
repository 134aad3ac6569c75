import type { Budget } from './budget.ts'
import { JinjaError } from './jinja-error.ts'
import { lengthOf, splitLines, stripText } from './text.ts'

export interface WordWrapOptions {
  readonly width: number
  readonly breaksLongWords: boolean
  readonly breaksOnHyphens: boolean
  /** Stands between lines. */
  readonly separator: string
}

const space = '[\\t-\\r ]'
const punctuated = '[\\p{L}\\p{N}_!"\'&.,?]'
const letter = '[\\p{L}\\p{Nl}\\p{No}_]'
const wordChar = '[\\p{L}\\p{N}_]'
/** Where a line may end: at white space, around dashes between words, after hyphens between letters. */
const chunk = new RegExp(
  `${space}+|(?<=${punctuated})-{2,}(?=${wordChar})|` +
    `[^\\t-\\r ]+?(?:-(?:(?<=${letter}{2}-)|(?<=${letter}-${letter}-))(?=${letter}-?${letter})|(?=${space}|$)|(?<=${punctuated})(?=-{2,}${wordChar}))`,
  'gu',
)
const simpleChunk = /[\t-\r ]+|[^\t-\r ]+/g

/** Python's `textwrap.wrap` on each line. */
export function wrapWords(text: string, options: WordWrapOptions, budget: Budget): string {
  if (options.width <= 0) throw new JinjaError(`invalid width ${options.width} (must be > 0)`)
  const lines = splitLines(text, false)
  const wrapped = lines.map((line) => new Wrapping(line, options, budget).run().join(options.separator))
  budget.text(wrapped.reduce((sum, line) => sum + line.length + options.separator.length, 0))
  return wrapped.join(options.separator)
}

/** The wrapping of one line. */
class Wrapping {
  readonly #options: WordWrapOptions
  readonly #budget: Budget
  /** Those to come, the next one last. */
  readonly #chunks: string[]

  constructor(line: string, options: WordWrapOptions, budget: Budget) {
    budget.read(line.length)
    this.#options = options
    this.#budget = budget
    const pattern = options.breaksOnHyphens ? chunk : simpleChunk
    this.#chunks = (line.match(pattern) ?? []).reverse()
    budget.items(this.#chunks.length)
  }

  run(): string[] {
    const lines: string[] = []
    while (this.#chunks.length > 0) {
      const line = this.#line(lines.length === 0)
      if (line !== '') lines.push(line)
    }
    return lines
  }

  #line(isFirst: boolean): string {
    const chunks = this.#chunks
    const { width } = this.#options
    if (!isFirst && isBlank(chunks.at(-1)!)) chunks.pop()
    const line: string[] = []
    let length = 0
    while (chunks.length > 0) {
      this.#budget.step()
      const size = lengthOf(chunks.at(-1)!)
      if (length + size > width) break
      line.push(chunks.pop()!)
      length += size
    }
    if (chunks.length > 0 && lengthOf(chunks.at(-1)!) > width) this.#breakWord(line, width - length)
    if (line.length > 0 && isBlank(line.at(-1)!)) line.pop()
    return line.join('')
  }

  /** A word that no line has room for. */
  #breakWord(line: string[], room: number): void {
    const { breaksLongWords, breaksOnHyphens } = this.#options
    if (!breaksLongWords) {
      if (line.length === 0) line.push(this.#chunks.pop()!)
      return
    }
    const word = this.#chunks.pop()!
    let head = takeChars(word, room)
    const hyphen = breaksOnHyphens ? head.lastIndexOf('-') : -1
    if (hyphen > 0 && /[^-]/.test(head.slice(0, hyphen))) head = head.slice(0, hyphen + 1)
    line.push(head)
    this.#chunks.push(word.slice(head.length))
  }
}

function isBlank(text: string): boolean {
  return stripText(text, 'both') === ''
}

/** The first characters, counted as code points. */
function takeChars(text: string, count: number): string {
  let end = 0
  for (let i = 0; i < count && end < text.length; i++) end += text.codePointAt(end)! > 0xffff ? 2 : 1
  return text.slice(0, end)
}
