import type { CompiledGrammar, GrammarCompiler, GrammarMatcher, TokenizerInfo } from '@mlc-ai/web-xgrammar'
import { numMaskWords, setAllowed } from '../ops/token-mask.ts'
import { assert } from '../util/assert.ts'
import type { MaskRequest } from './grammar-messages.ts'
import type { GrammarSpec } from './grammar-spec.ts'
import type { XGrammar } from './load-xgrammar.ts'
import { MaskCell, maskOutcomes } from './mask-cell.ts'
import { type SharedVocabulary, tokensOf } from './shared-vocabulary.ts'
import { createSpecialMarker, type MarkSpecialTokens } from './special-tokens.ts'
import type { TagFormat } from './structural-tag.ts'

/** What depends on the tokens that end an output. */
interface Compiler {
  readonly stops: string
  readonly info: TokenizerInfo
  readonly compiler: GrammarCompiler
}

interface Compiled {
  readonly compiler: Compiler
  readonly grammar: CompiledGrammar
  /** Tokens that the library may allow: no special ones but those that the grammar names. */
  readonly keep: Int32Array
}

interface Matcher {
  readonly id: number
  readonly grammar: number
  readonly compiled: Compiled
  readonly state: GrammarMatcher
  numTokens: number
  cell: MaskCell | null
}

export interface GrammarHostOptions {
  readonly library: XGrammar
  readonly vocabulary: SharedVocabulary
  readonly vocabSize: number
  /** Before anything that may take time, or end the thread. */
  onJob(grammar: number): void
}

/** Compiled grammars, and where each sequence is in its own. Whatever throws here leaves the library in no state to go on. */
export class GrammarHost {
  readonly #options: GrammarHostOptions
  readonly #tokens: readonly Uint8Array[]
  readonly #markSpecial: MarkSpecialTokens
  readonly #grammars = new Map<number, Compiled>()
  readonly #matchers = new Map<number, Matcher>()
  #compilers: Compiler[] = []

  constructor(options: GrammarHostOptions) {
    this.#options = options
    this.#tokens = tokensOf(options.vocabulary)
    this.#markSpecial = createSpecialMarker(options.vocabulary.special)
  }

  /** @returns whether there is an output that it allows */
  async compile(id: number, spec: GrammarSpec): Promise<boolean> {
    this.#options.onJob(id)
    const { tag, tokenIds } = this.#markSpecial(JSON.parse(spec.grammar) as TagFormat, spec.stopTokenIds)
    const compiler = await this.#compilerFor(spec.stopTokenIds)
    const text = JSON.stringify({ type: 'structural_tag', format: tag })
    const grammar = await compiler.compiler.compileStructuralTag(text)
    // Its own would make a handle at each matcher, for nobody to dispose of.
    grammar.tokenizerInfo = () => compiler.info
    const compiled = { compiler, grammar, keep: this.#keepMask(tokenIds, spec.stopTokenIds) }
    this.#grammars.set(id, compiled)
    const matcher = await this.#options.library.GrammarMatcher.createGrammarMatcher(grammar)
    const mask = await matcher.getNextTokenBitmask()
    matcher.dispose()
    return mask.some((word, i) => (word & compiled.keep[i]!) !== 0)
  }

  async open(id: number, grammar: number): Promise<void> {
    const compiled = this.#grammars.get(grammar)
    assert(compiled !== undefined, `grammar ${grammar} is not compiled here`)
    this.#options.onJob(grammar)
    const state = await this.#options.library.GrammarMatcher.createGrammarMatcher(compiled.grammar)
    this.#matchers.set(id, { id, grammar, compiled, state, numTokens: 0, cell: null })
  }

  /** Answers in the matcher's cell. */
  async fillMasks(request: MaskRequest): Promise<void> {
    const matcher = this.#matchers.get(request.matcher)
    assert(matcher !== undefined, `matcher ${request.matcher} is not here`)
    if (request.cell !== undefined) matcher.cell = new MaskCell(request.cell, this.#options.vocabSize)
    const { cell } = matcher
    assert(cell !== null, 'a matcher without a cell')
    this.#options.onJob(matcher.grammar)
    cell.answer(request.request, await this.#advance(matcher, cell, request))
  }

  close(id: number): void {
    this.#matchers.get(id)?.state.dispose()
    this.#matchers.delete(id)
  }

  forget(id: number): void {
    this.#grammars.get(id)?.grammar.dispose()
    this.#grammars.delete(id)
  }

  async #advance(
    matcher: Matcher,
    cell: MaskCell,
    { numTaken, tokenIds, draftTokenIds }: MaskRequest,
  ): Promise<number> {
    const { state, compiled } = matcher
    assert(matcher.numTokens === numTaken, 'a matcher that missed tokens')
    for (const tokenId of tokenIds) {
      if (!state.isTerminated() && !state.acceptToken(tokenId)) return maskOutcomes.refused
      matcher.numTokens++
    }
    if (state.isTerminated()) return maskOutcomes.isOver
    cell.write(0, await state.getNextTokenBitmask(), compiled.keep)
    let numAccepted = 0
    for (const tokenId of draftTokenIds) {
      if (!state.acceptToken(tokenId)) break
      numAccepted++
      if (state.isTerminated()) break
      cell.write(numAccepted, await state.getNextTokenBitmask(), compiled.keep)
    }
    const numMasks = numAccepted + (state.isTerminated() ? 0 : 1)
    if (numAccepted > 0) state.rollBack(numAccepted)
    return numMasks
  }

  /** One for each set of stop tokens: the library has them where it has the vocabulary. */
  async #compilerFor(stopTokenIds: readonly number[]): Promise<Compiler> {
    const stops = stopTokenIds.join()
    const known = this.#compilers.find((compiler) => compiler.stops === stops)
    if (known !== undefined) return known
    this.#disposeIdleCompilers()
    const { TokenizerInfo, GrammarCompiler } = this.#options.library
    const tokens = this.#tokens as unknown as string[] // strings would be taken for UTF-8
    const info = await TokenizerInfo.createTokenizerInfo(tokens, 'raw', false, this.#options.vocabSize, [
      ...stopTokenIds,
    ])
    const compiler = { stops, info, compiler: await GrammarCompiler.createGrammarCompiler(info, false) }
    this.#compilers.push(compiler)
    return compiler
  }

  #disposeIdleCompilers(): void {
    const used = new Set([...this.#grammars.values()].map(({ compiler }) => compiler))
    for (const { info, compiler } of this.#compilers.filter((each) => !used.has(each))) {
      compiler.dispose()
      info.dispose()
    }
    this.#compilers = this.#compilers.filter((each) => used.has(each))
  }

  #keepMask(named: ReadonlySet<number>, stopTokenIds: readonly number[]): Int32Array {
    const keep = new Int32Array(numMaskWords(this.#options.vocabSize)).fill(-1)
    for (const [, id] of this.#options.vocabulary.special) if (!named.has(id)) setAllowed(keep, id, false)
    for (const id of stopTokenIds) setAllowed(keep, id, true)
    return keep
  }
}
