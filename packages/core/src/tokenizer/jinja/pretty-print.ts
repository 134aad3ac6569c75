import { type Budget, TextWriter } from './budget.ts'
import { compareValues } from './compare.ts'
import { JinjaError } from './jinja-error.ts'
import { quoteText, repr } from './printing.ts'
import { lengthOf, spaceClass, splitLines } from './text.ts'
import { Dict, Tuple, typeName, type Value } from './values.ts'

const lineWidth = 80

/** Python's `pprint.pformat`: what does not fit on a line is spread over several, keys in order. */
export function prettyPrint(value: Value, budget: Budget): string {
  const printer = new PrettyPrinter(budget)
  printer.print(value, { indent: 0, allowance: 0, level: 0 })
  return printer.text
}

interface Place {
  /** The column it begins at. */
  readonly indent: number
  /** Columns that the brackets after it take. */
  readonly allowance: number
  readonly level: number
}

class PrettyPrinter {
  readonly #budget: Budget
  readonly #out: TextWriter

  constructor(budget: Budget) {
    this.#budget = budget
    this.#out = new TextWriter(budget)
  }

  get text(): string {
    return this.#out.text
  }

  print(value: Value, place: Place): void {
    const text = sortedRepr(value, this.#budget)
    const { indent, allowance } = place
    const inner = { indent, allowance, level: place.level + 1 }
    if (lengthOf(text) <= lineWidth - indent - allowance) this.#out.write(text)
    else if (typeof value === 'string') this.#text(value, inner)
    else if (Array.isArray(value)) this.#items(value, ['[', ']'], inner)
    else if (value instanceof Tuple) this.#items(value.items, ['(', value.items.length === 1 ? ',)' : ')'], inner)
    else if (value instanceof Dict) this.#dict(value, inner)
    else this.#out.write(text)
  }

  #items(items: readonly Value[], [open, close]: readonly [string, string], { indent, allowance, level }: Place): void {
    this.#out.write(open)
    for (const [index, item] of items.entries()) {
      const isLast = index === items.length - 1
      this.print(item, { indent: indent + 1, allowance: isLast ? allowance + close.length : 1, level })
      if (!isLast) this.#breakLine(',', indent + 1)
    }
    this.#out.write(close)
  }

  #dict(dict: Dict, { indent, allowance, level }: Place): void {
    this.#out.write('{')
    const entries = sortedEntries(dict, this.#budget)
    for (const [index, [key, item]] of entries.entries()) {
      const isLast = index === entries.length - 1
      const name = sortedRepr(key, this.#budget)
      this.#out.write(`${name}: `)
      const column = indent + lengthOf(name) + 3
      this.print(item, { indent: column, allowance: isLast ? allowance + 1 : 1, level })
      if (!isLast) this.#breakLine(',', indent + 1)
    }
    this.#out.write('}')
  }

  #breakLine(before: string, indent: number): void {
    this.#out.write(`${before}\n${' '.repeat(indent)}`)
  }

  /** Pieces at line ends and white space, each a text of its own, which Python would read as one. */
  #text(text: string, place: Place): void {
    const isAlone = place.level === 1
    const [indent, allowance] = isAlone ? [place.indent + 1, place.allowance + 1] : [place.indent, place.allowance]
    const pieces = this.#pieces(text, lineWidth - indent, allowance)
    if (pieces.length === 1) return this.#out.write(quoteText(splitLines(text, true).at(-1)!, this.#budget))
    if (isAlone) this.#out.write('(')
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) this.#breakLine('', indent)
      this.#out.write(piece)
    }
    if (isAlone) this.#out.write(')')
  }

  #pieces(text: string, width: number, allowance: number): string[] {
    const lines = splitLines(text, true)
    return lines.flatMap((line, index) => {
      const whole = quoteText(line, this.#budget)
      this.#budget.text(whole.length)
      const end = index === lines.length - 1 ? allowance : 0
      return lengthOf(whole) <= width - end ? [whole] : this.#words(line, width, end)
    })
  }

  #words(line: string, width: number, end: number): string[] {
    const pieces: string[] = []
    const words = line.match(wordAndSpace)!
    let current = ''
    for (const [index, word] of words.entries()) {
      const room = width - (index === words.length - 1 ? end : 0)
      const candidate = current + word
      this.#budget.read(candidate.length)
      if (lengthOf(quoteText(candidate, this.#budget)) > room) {
        if (current !== '') pieces.push(quoteText(current, this.#budget))
        current = word
      } else current = candidate
    }
    if (current !== '') pieces.push(quoteText(current, this.#budget))
    return pieces
  }
}

const wordAndSpace = new RegExp(`[^${spaceClass}]+[${spaceClass}]*|[${spaceClass}]+`, 'g')

/** `repr`, with the keys of dicts in order. */
function sortedRepr(value: Value, budget: Budget, depth = 0): string {
  budget.step()
  budget.depth(depth)
  const part = (item: Value): string => sortedRepr(item, budget, depth + 1)
  const text = ((): string => {
    if (Array.isArray(value)) return `[${value.map(part).join(', ')}]`
    if (value instanceof Tuple) return `(${value.items.map(part).join(', ')}${value.items.length === 1 ? ',' : ''})`
    if (!(value instanceof Dict)) return repr(value, budget)
    return `{${sortedEntries(value, budget)
      .map(([key, item]) => `${part(key)}: ${part(item)}`)
      .join(', ')}}`
  })()
  budget.text(text.length)
  return text
}

function sortedEntries(dict: Dict, budget: Budget): (readonly [Value, Value])[] {
  return [...dict.entries.values()].toSorted(([a], [b]) => compareKeys(a, b, budget))
}

/** Keys that Python cannot compare are ordered by their types. */
function compareKeys(a: Value, b: Value, budget: Budget): number {
  try {
    return compareValues(a, b, { budget, sign: '<' })
  } catch (error) {
    if (!(error instanceof JinjaError)) throw error
    return compareText(`<class '${typeName(a)}'>`, `<class '${typeName(b)}'>`)
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
