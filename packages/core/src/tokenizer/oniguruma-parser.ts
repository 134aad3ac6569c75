import {
  type CharReader,
  foldedChars,
  hexChar,
  parseClass,
  propertyClass,
  refuse,
  shorthandClass,
} from './oniguruma-class.ts'

interface Node {
  readonly text: string
  /** Cannot fail, whatever follows in the text. */
  readonly isOptional: boolean
  /** How many times backtracking may multiply the work by the text's length; 2 and more is too much. */
  readonly degree: number
  readonly hasChoice: boolean
  /** One character, repeated without a bound. */
  readonly isRepetition: boolean
}

const maxDepth = 64
const tooMuch = 9
/** A bounded repetition above this is as bad as an unbounded one. */
const smallCount = 16
const controls: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f', v: '\v', a: '\x07', e: '\x1b' }

/** Oniguruma's Ruby syntax → JavaScript's, for the flag `v`. Capturing groups do not capture: nothing refers to them. */
export class OnigurumaParser implements CharReader {
  readonly #source: readonly string[]
  #at = 0
  #depth = 0
  #numAtomic = 0

  constructor(source: string) {
    this.#source = Array.from(source)
  }

  parse(): { text: string; isPredictable: boolean } {
    const node = this.#alternatives(false)
    if (this.#at < this.#source.length) refuse('an unmatched )')
    return { text: node.text, isPredictable: node.degree < 2 }
  }

  peek(offset = 0): string | undefined {
    return this.#source[this.#at + offset]
  }

  next(): string {
    const char = this.#source[this.#at++]
    return char ?? refuse('an unexpected end')
  }

  tryTake(text: string): boolean {
    const chars = Array.from(text)
    if (!chars.every((char, i) => this.peek(i) === char)) return false
    this.#at += chars.length
    return true
  }

  #alternatives(outerIgnoresCase: boolean): Node {
    if (++this.#depth > maxDepth) refuse(`groups deeper than ${maxDepth}`)
    const nodes: Node[] = []
    let ignoresCase = outerIgnoresCase
    do {
      const sequence: Node[] = []
      for (let char = this.peek(); char !== undefined && char !== '|' && char !== ')'; char = this.peek()) {
        // Holds to the end of the group.
        if (this.tryTake('(?i)')) ignoresCase = true
        else sequence.push(this.#quantified(this.#atom(ignoresCase)))
      }
      nodes.push(joined(sequence))
    } while (this.tryTake('|'))
    this.#depth--
    if (nodes.length === 1) return nodes[0]!
    return {
      text: nodes.map(({ text }) => text).join('|'),
      isOptional: nodes.some(({ isOptional }) => isOptional),
      degree: Math.max(...nodes.map(({ degree }) => degree)),
      hasChoice: true,
      isRepetition: false,
    }
  }

  #quantified(atom: Node): Node {
    let node = atom
    for (let range = this.#quantifier(); range !== null; range = this.#quantifier()) {
      const { min, max } = range
      const isUnbounded = max > smallCount
      const text = `${node.text}{${min},${max === Infinity ? '' : max}}${range.kind === 'lazy' ? '?' : ''}`
      const inner = max > 1 && (node.hasChoice || node.degree > 0) ? tooMuch : node.degree
      node = {
        text: range.kind === 'possessive' ? this.#atomic(text) : `(?:${text})`,
        isOptional: min === 0 || node.isOptional,
        degree: isUnbounded ? Math.max(1, inner) : inner,
        hasChoice: node.hasChoice || isUnbounded,
        isRepetition: isUnbounded && inner === 0,
      }
    }
    return node
  }

  #quantifier(): { min: number; max: number; kind: 'greedy' | 'lazy' | 'possessive' } | null {
    const char = this.peek()
    const simple = char === '?' ? [0, 1] : char === '*' ? [0, Infinity] : char === '+' ? [1, Infinity] : null
    if (simple !== null) {
      this.#at++
      const kind = this.tryTake('?') ? 'lazy' : this.tryTake('+') ? 'possessive' : 'greedy'
      return { min: simple[0]!, max: simple[1]!, kind }
    }
    if (char !== '{') return null
    const rest = this.#source.slice(this.#at, this.#at + 24).join('')
    const match = /^\{(\d*)(,?)(\d*)\}/.exec(rest)
    if (match === null || (match[1] === '' && match[3] === '')) return null
    this.#at += match[0].length
    const min = Number(match[1] ?? '')
    const max = match[2] === '' ? min : match[3] === '' ? Infinity : Number(match[3])
    if (max < min) refuse(`the range ${match[0]}`)
    // In Ruby {n}? makes optional, and {n,m}+ repeats.
    return { min, max, kind: match[2] !== '' && this.tryTake('?') ? 'lazy' : 'greedy' }
  }

  #atomic(text: string): string {
    const name = `atomic${this.#numAtomic++}`
    return `(?:(?=(?<${name}>${text}))\\k<${name}>)`
  }

  #atom(ignoresCase: boolean): Node {
    const char = this.next()
    switch (char) {
      case '(':
        return this.#group(ignoresCase)
      case '[':
        return one(parseClass(this, ignoresCase))
      case '.':
        return one('[^\\n]')
      case '^':
        return one('(?<![^\\n])')
      case '$':
        return one('(?![^\\n])')
      case '\\':
        return this.#escape(ignoresCase)
      default:
        return one(literal(char, ignoresCase))
    }
  }

  #group(outerIgnoresCase: boolean): Node {
    let ignoresCase = outerIgnoresCase
    let open = '(?:'
    if (this.tryTake('?')) {
      const kind = ['<=', '<!', ':', '=', '!', '>', 'i:', '-i:'].find((text) => this.tryTake(text))
      if (kind === undefined) return refuse(`the group (?${this.peek() ?? ''}`)
      if (kind === 'i:' || kind === '-i:') ignoresCase = kind === 'i:'
      else open = `(?${kind}`
    }
    const node = this.#alternatives(ignoresCase)
    if (!this.tryTake(')')) refuse('an unmatched (')
    if (open === '(?>') return { ...node, text: this.#atomic(node.text) }
    const isLook = open !== '(?:'
    return { ...node, text: `${open}${node.text})`, isOptional: !isLook && node.isOptional }
  }

  #escape(ignoresCase: boolean): Node {
    const char = this.next()
    const control = controls[char]
    if (control !== undefined) return one(literal(control, false))
    switch (char) {
      case 'A':
        return one('(?<![\\s\\S])')
      case 'z':
        return one('(?![\\s\\S])')
      case 'Z':
        return one('(?=\\n?(?![\\s\\S]))')
      case 'b':
      case 'B': {
        const word = shorthandClass('w')
        const [same, other] = char === 'b' ? ['!', '='] : ['=', '!']
        return one(`(?:(?<=${word})(?${same}${word})|(?<!${word})(?${other}${word}))`)
      }
      case 'R':
        return one('(?:\\r\\n|[\\n-\\r\\u{85}\\u{2028}\\u{2029}])')
      case 'p':
      case 'P':
        return one(propertyClass(this, char === 'P'))
      case 'x':
      case 'u':
        return one(literal(hexChar(this, char), ignoresCase))
      default:
        break
    }
    const shorthand = shorthandClass(char)
    if (shorthand !== null) return one(shorthand)
    if (/[\p{L}\p{N}]/u.test(char)) return refuse(`\\${char}`)
    return one(literal(char, ignoresCase))
  }
}

/** The tail that cannot fail costs nothing; an unbounded repetition before it is tried again at each of its lengths. */
function joined(nodes: readonly Node[]): Node {
  let degree = 0
  let isTail = true
  for (const node of nodes.toReversed()) {
    // A repetition at the end is left as soon as it has its least.
    degree += isTail && node.isRepetition ? 0 : node.degree
    if (!node.isOptional) isTail = false
  }
  const hasUnbounded = nodes.some((node) => node.degree > 0)
  return {
    text: nodes.map(({ text }) => text).join(''),
    isOptional: nodes.every(({ isOptional }) => isOptional),
    degree: Math.max(degree, hasUnbounded ? 1 : 0),
    hasChoice: nodes.some(({ hasChoice }) => hasChoice),
    isRepetition: nodes.length === 1 && nodes[0]!.isRepetition,
  }
}

function one(text: string): Node {
  return { text, isOptional: false, degree: 0, hasChoice: false, isRepetition: false }
}

function literal(char: string, ignoresCase: boolean): string {
  const escaped = (text: string): string => `\\u{${text.codePointAt(0)!.toString(16)}}`
  if (!ignoresCase) return escaped(char)
  return `[${foldedChars(char).map(escaped).join('')}]`
}
