import type { CompiledGrammar, GrammarCompiler, GrammarMatcher, TokenizerInfo } from '@mlc-ai/web-xgrammar'
import { loadXGrammar, type XGrammar } from './load-xgrammar.ts'

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export type Random = () => number

export function createRandom(seed: number): Random {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }
}

const stopToken = 256
/** Tokens of several bytes, across the parts of JSON as tokenizers have them: the library makes their masks another way than those of single bytes. */
const pieces =
  String.raw`": ", "} }} "}] ":" "," {" [" [[ ]] ], }, {"a" {"name" true false null tru 12 123 -1 0.5 .5 e1 00 ab abc foo bar -12 yes é ñá 日本 😀 \" \\ \n \u00 \u001f "a "ab "a": "name":`
    .split(' ')
    .concat(['\n  ', '\n', '  ', ', "', ': "', ' {', '": [', '": {', 'a b', '": 1', '": null', '", "a'])

/** The library itself, on a vocabulary of all bytes: asks it whether texts are in a grammar, and draws texts from grammars. */
export class GrammarSampler {
  private readonly library: XGrammar
  private readonly compiler: GrammarCompiler

  private constructor(library: XGrammar, compiler: GrammarCompiler) {
    this.library = library
    this.compiler = compiler
  }

  static async create(): Promise<GrammarSampler> {
    const library = await loadXGrammar(() => undefined, 1 << 30)
    const vocabulary = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))
    const encoder = new TextEncoder()
    const texts = ['<stop>', ...pieces].map((piece) => encoder.encode(piece))
    const tokens = [...vocabulary, ...texts] as unknown as string[]
    const info: TokenizerInfo = await library.TokenizerInfo.createTokenizerInfo(tokens, 'raw', false, tokens.length, [
      stopToken,
    ])
    return new GrammarSampler(library, await library.GrammarCompiler.createGrammarCompiler(info, false))
  }

  compile(grammar: string): Promise<CompiledGrammar> {
    return this.compiler.compileGrammar(grammar, 'root')
  }

  async accepts(compiled: CompiledGrammar, text: string): Promise<boolean> {
    const matcher = await this.library.GrammarMatcher.createGrammarMatcher(compiled)
    const isAccepted = (text === '' || matcher._acceptString(text)) && matcher.acceptToken(stopToken)
    matcher.dispose()
    return isAccepted
  }

  /** A text of the grammar; null where it does not end within `maxSteps`. */
  async sample(compiled: CompiledGrammar, random: Random, maxSteps = 1500): Promise<string | null> {
    const matcher = await this.library.GrammarMatcher.createGrammarMatcher(compiled)
    const bytes: number[] = []
    for (let step = 0; step < maxSteps; step++) {
      const token = choose(await allowedTokens(matcher), random, step)
      if (!matcher.acceptToken(token)) throw new Error(`the matcher refused token ${token} of its own mask`)
      if (token === stopToken) {
        matcher.dispose()
        return new TextDecoder().decode(Uint8Array.from(bytes))
      }
      bytes.push(...(token < stopToken ? [token] : new TextEncoder().encode(pieces[token - stopToken - 1])))
    }
    matcher.dispose()
    return null
  }
}

async function allowedTokens(matcher: GrammarMatcher): Promise<number[]> {
  const mask = await matcher.getNextTokenBitmask()
  const tokens: number[] = []
  for (let id = 0; id <= stopToken + pieces.length; id++)
    if (((mask[id >>> 5]! >>> (id & 31)) & 1) === 1) tokens.push(id)
  return tokens
}

/** What ends values; taken more and more often, so that texts end. Inside strings brackets end nothing: any of them may be right. */
const closers = new Set([stopToken, ...Array.from('}]"', (character) => character.charCodeAt(0))])

function choose(allowed: readonly number[], random: Random, step: number): number {
  if (allowed.length === 0) throw new Error('the grammar has a dead end')
  if (random() < 0.12 + step / 200) {
    const ends = allowed.includes(stopToken) ? [stopToken] : allowed.filter((token) => closers.has(token))
    if (ends.length > 0) return ends[Math.floor(random() * ends.length)]!
  }
  // Escapes are one byte of many: take them often enough to be tested.
  if (allowed.includes(0x5c) && random() < 0.05) return 0x5c
  return allowed[Math.floor(random() * allowed.length)]!
}
