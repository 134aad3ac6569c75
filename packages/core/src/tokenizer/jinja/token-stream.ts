import { JinjaError } from './jinja-error.ts'
import type { Token, TokenType } from './lexer.ts'

/** Brackets and blocks inside each other; Jinja2 itself ends at about 90. */
const maxDepth = 200

/** The tokens, with one in view. */
export class TokenStream {
  readonly #tokens: readonly Token[]
  #index = 0
  #depth = 0
  readonly #blocks = new Set<string>()

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get current(): Token {
    return this.#tokens[this.#index]!
  }

  get line(): number {
    return this.current.line
  }

  next(): Token {
    const token = this.current
    if (token.type !== 'end') this.#index++
    return token
  }

  isAt(type: TokenType, value?: string): boolean {
    return this.current.type === type && (value === undefined || this.current.value === value)
  }

  isNext(type: TokenType, value: string): boolean {
    const token = this.#tokens[this.#index + 1]
    return token?.type === type && token.value === value
  }

  isOperator(value: string): boolean {
    return this.isAt('operator', value)
  }

  isName(value: string): boolean {
    return this.isAt('name', value)
  }

  skip(type: TokenType, value: string): boolean {
    if (!this.isAt(type, value)) return false
    this.next()
    return true
  }

  expect(type: TokenType, value?: string): Token {
    if (!this.isAt(type, value)) this.fail(`expected ${value ?? describe(type)}, found ${this.describeCurrent()}`)
    return this.next()
  }

  describeCurrent(): string {
    const { type, value } = this.current
    return type === 'name' || type === 'operator' ? `'${value}'` : describe(type)
  }

  fail(message: string, line = this.line): never {
    throw new JinjaError(message, line)
  }

  declareBlock(name: string, line: number): void {
    if (this.#blocks.has(name)) this.fail(`block '${name}' defined twice`, line)
    this.#blocks.add(name)
  }

  nested<T>(parse: () => T): T {
    if (++this.#depth > maxDepth) this.fail(`it is nested more than ${maxDepth} levels deep`)
    try {
      return parse()
    } finally {
      this.#depth--
    }
  }
}

function describe(type: TokenType): string {
  switch (type) {
    case 'end':
      return 'the end of the template'
    case 'blockEnd':
      return "'%}'"
    case 'outputEnd':
      return "'}}'"
    case 'blockBegin':
      return "'{%'"
    case 'outputBegin':
      return "'{{'"
    default:
      return `a ${type}`
  }
}
