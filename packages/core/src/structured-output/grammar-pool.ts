import { availableParallelism } from 'node:os'
import { grammarKey, type GrammarSpec } from './grammar-spec.ts'
import { createGrammar, deathError, type Grammar, grammarError, type Matcher } from './grammar.ts'
import type { MaskRequest } from './grammar-messages.ts'
import { GrammarProver } from './grammar-prover.ts'
import { GrammarThread, type GrammarThreadEnd, type GrammarThreadOptions } from './grammar-thread.ts'
import { MaskCell, maskOutcomes } from './mask-cell.ts'
import type { SharedVocabulary } from './shared-vocabulary.ts'

export interface GrammarLimits {
  /** Threads that grammars live in, and those that compile unknown ones. */
  readonly maxThreads: number
  readonly maxProvers: number
  /** What compiling one may take, and the masks of one sequence. */
  readonly compileTimeoutMs: number
  readonly maskTimeoutMs: number
  /** How long a step waits for masks at most; a sequence whose mask comes later takes part in the next one. */
  readonly patienceMs: number
  readonly maxGrammarLength: number
  readonly maxMemoryBytes: number
}

export interface GrammarPoolOptions {
  readonly modelPath: string
  /** Width of the logits. */
  readonly vocabSize: number
  readonly limits?: Partial<GrammarLimits>
  /** Default: a `GrammarThread`. */
  readonly createThread?: (options: GrammarThreadOptions) => GrammarThread
}

/** A sequence whose next token is drawn in this step. */
export interface MaskRow {
  readonly id: string
  /** Prompt, then output. */
  readonly tokenIds: readonly number[]
  readonly numPromptTokens: number
  readonly draftTokenIds: readonly number[]
  readonly spec: GrammarSpec
}

/** What may be drawn: what the mask allows, anything, or nothing in this step, for nobody knows yet. */
export type NextTokens = Int32Array | 'anything' | 'late' | Error

const defaultLimits: GrammarLimits = {
  maxThreads: Math.max(2, Math.min(4, availableParallelism() - 1)),
  maxProvers: 2,
  compileTimeoutMs: 5000,
  maskTimeoutMs: 2000,
  patienceMs: 25,
  maxGrammarLength: 1 << 20,
  maxMemoryBytes: 512 * 1024 ** 2,
}

/** Threads that compile unknown grammars let the model's go first. */
const proverNiceness = 5
/** Known grammars, and those of them that stay compiled in a thread for the next one who asks. */
const maxKnown = 256
const maxIdlePerThread = 8
/** A thread's memory does not shrink: after so many it makes room for a fresh one, once it serves nobody. */
const maxCompilations = 100
const maxAttempts = 5

/**
 * Grammars in threads of their own, which may die of them, and where each sequence is in its grammar. The state of a matcher
 * follows from grammar and output tokens: where a thread ends, it is built anew in another.
 *
 * A grammar that is new is compiled by the prover first. Masks are asked for at the begin of a step, are computed beside the
 * forward pass, and are waited for only just before tokens are drawn, and not for long.
 */
export class GrammarPool {
  readonly #options: GrammarPoolOptions
  readonly #limits: GrammarLimits
  readonly #prover: GrammarProver
  readonly #threads = new Set<GrammarThread>()
  /** By key, the one that was asked for last at the end. */
  readonly #grammars = new Map<string, Grammar>()
  readonly #matchers = new Map<string, Matcher>()
  #vocabulary: Promise<SharedVocabulary> | null = null
  #lastId = 0
  #isClosed = false
  /** Of this step: when waiting began, and how long is waited in any case. */
  #waitingSinceMs: number | null = null
  #minPatienceMs = 0

  constructor(options: GrammarPoolOptions) {
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#prover = new GrammarProver({
      createThread: () => this.#createThread('octavo-grammar-prover', proverNiceness),
      maxThreads: this.#limits.maxProvers,
      timeoutMs: this.#limits.compileTimeoutMs,
    })
  }

  /**
   * Resolves when sequences with this grammar can run.
   * @throws InvalidRequestError where it cannot be compiled, is too large, takes too long, or the model's tokenizer allows none
   */
  compile(spec: GrammarSpec): Promise<void> {
    const { maxGrammarLength } = this.#limits
    if (spec.grammar.length > maxGrammarLength) {
      return Promise.reject(
        grammarError(
          `it has ${spec.grammar.length} characters, and at most ${maxGrammarLength} are allowed; make it smaller`,
        ),
      )
    }
    const grammar = this.#grammarOf(spec)
    if (grammar.failure !== null) return Promise.reject(grammar.failure)
    grammar.ready ??= this.#prepare(grammar)
    return grammar.ready
  }

  /** At the begin of a step. `isAlone`: nothing else is drawn in it. */
  ask(rows: readonly MaskRow[], isAlone: boolean): void {
    this.#waitingSinceMs = null
    this.#minPatienceMs = isAlone ? this.#limits.patienceMs / 4 : 0
    const requests = new Map<GrammarThread, MaskRequest[]>()
    for (const row of rows) {
      const matcher = this.#matchers.get(row.id) ?? this.#createMatcher(row)
      const { grammar } = matcher
      if (grammar.home === null) {
        matcher.asked = null
        this.#settle(grammar).catch(() => {})
      } else {
        const request = this.#requestOf(matcher, row, grammar.home)
        if (request !== null) requests.set(grammar.home, [...(requests.get(grammar.home) ?? []), request])
      }
    }
    for (const [thread, list] of requests) thread.askForMasks(list)
  }

  /** For the token behind `numDrafts` of the row's drafts, after `ask`. */
  next({ id, draftTokenIds }: MaskRow, numDrafts: number): NextTokens {
    const matcher = this.#matchers.get(id)
    if (matcher === undefined) return 'late'
    const { asked, cell, grammar } = matcher
    if (grammar.failure !== null) return grammar.failure
    if (asked === null || !this.#await(matcher, asked.request)) return 'late'
    const { outcome } = cell
    if (outcome === maskOutcomes.isOver) return 'anything'
    if (outcome === maskOutcomes.refused)
      return new Error('Octavo bug: a token was drawn that the grammar does not allow')
    const isAnswered = numDrafts < outcome
    const isSame = asked.draftTokenIds.slice(0, numDrafts).every((tokenId, i) => tokenId === draftTokenIds[i])
    return isAnswered && isSame ? cell.mask(numDrafts) : 'late'
  }

  /** Sequences that have ended, or lost their place. */
  drop(ids: Iterable<string>): void {
    const closed = new Map<GrammarThread, number[]>()
    for (const id of ids) {
      const matcher = this.#matchers.get(id)
      if (matcher === undefined) continue
      this.#matchers.delete(id)
      matcher.grammar.matchers.delete(matcher)
      if (matcher.home !== null) closed.set(matcher.home, [...(closed.get(matcher.home) ?? []), matcher.id])
    }
    for (const [thread, matchers] of closed) thread.close(matchers)
    for (const thread of closed.keys()) this.#retire(thread)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([this.#prover.close(), ...[...this.#threads].map((thread) => thread.end())])
  }

  #grammarOf(spec: GrammarSpec): Grammar {
    const key = grammarKey(spec)
    const grammar = this.#grammars.get(key) ?? createGrammar(++this.#lastId, spec)
    this.#grammars.delete(key)
    this.#grammars.set(key, grammar)
    if (this.#grammars.size > maxKnown) this.#forgetOldest()
    return grammar
  }

  #forgetOldest(): void {
    for (const [key, grammar] of this.#grammars) {
      if (
        grammar.matchers.size > 0 ||
        grammar.settling !== null ||
        (grammar.ready !== null && grammar.home === null && grammar.failure === null)
      )
        continue
      grammar.home?.forget(grammar.id)
      this.#grammars.delete(key)
      return
    }
  }

  async #prepare(grammar: Grammar): Promise<void> {
    try {
      grammar.failure = await this.#prover.prove(grammar.id, grammar.spec)
      await this.#settle(grammar)
    } catch (error) {
      // A thread that cannot be started, or a busy machine: the next one who asks may have more luck.
      grammar.ready = null
      throw error
    }
  }

  #settle(grammar: Grammar): Promise<void> {
    grammar.settling ??= this.#findHome(grammar).finally(() => (grammar.settling = null))
    return grammar.settling
  }

  async #findHome(grammar: Grammar): Promise<void> {
    for (let attempt = 1; grammar.home === null; attempt++) {
      if (grammar.failure !== null) throw grammar.failure
      if (attempt > maxAttempts || this.#isClosed) throw new Error('threads for grammars end as soon as they start')
      const thread = await this.#chooseThread()
      const answer = await thread.compile(grammar.id, grammar.spec).catch((error: Error) => error)
      if (answer instanceof Error) await thread.ended
      else if (answer?.isSound === false) {
        if (++grammar.numDeaths >= 2) grammar.failure = grammarError(answer.reason)
        await thread.end()
      } else if (answer !== null) grammar.failure = grammarError(answer.reason)
      else if (!thread.hasEnded) grammar.home = thread
    }
    this.#forgetIdle(grammar.home)
  }

  /** Where the fewest live that serve somebody. */
  async #chooseThread(): Promise<GrammarThread> {
    const numLive = new Map([...this.#threads].map((thread) => [thread, 0]))
    for (const { home, matchers } of this.#grammars.values())
      if (home !== null && matchers.size > 0) numLive.set(home, (numLive.get(home) ?? 0) + 1)
    const [fewest] = [...numLive].sort(([, a], [, b]) => a - b)
    if (fewest !== undefined && (fewest[1] === 0 || numLive.size >= this.#limits.maxThreads)) return fewest[0]
    const thread = await this.#createThread('octavo-grammar', 0)
    this.#threads.add(thread)
    void thread.ended.then((end) => this.#loseThread(thread, end))
    return thread
  }

  async #createThread(name: string, niceness: number): Promise<GrammarThread> {
    const { modelPath, vocabSize, createThread = (options) => new GrammarThread(options) } = this.#options
    const { compileTimeoutMs, maskTimeoutMs, maxMemoryBytes } = this.#limits
    const create = (vocabulary: SharedVocabulary | null): GrammarThread =>
      createThread({
        name,
        vocabulary,
        modelPath,
        vocabSize,
        niceness,
        compileTimeoutMs,
        maskTimeoutMs,
        maxMemoryBytes,
      })
    if (this.#isClosed) throw new Error('the pool of grammars was closed')
    if (this.#vocabulary !== null) return create(await this.#vocabulary)
    const first = create(null)
    this.#vocabulary = first.vocabulary
    try {
      await first.vocabulary
    } catch (error) {
      this.#vocabulary = null
      throw error
    }
    return first
  }

  #loseThread(thread: GrammarThread, end: GrammarThreadEnd): void {
    this.#threads.delete(thread)
    for (const grammar of this.#grammars.values()) {
      if (grammar.id === end.grammar && ++grammar.numDeaths >= 2)
        grammar.failure = deathError(end, this.#limits.maskTimeoutMs)
      if (grammar.home !== thread) continue
      grammar.home = null
      for (const matcher of grammar.matchers) matcher.home = null
      if (grammar.matchers.size > 0 && !this.#isClosed) this.#settle(grammar).catch(() => {})
    }
  }

  #forgetIdle(thread: GrammarThread): void {
    const idle = [...this.#grammars.values()].filter(({ home, matchers }) => home === thread && matchers.size === 0)
    for (const grammar of idle.slice(0, -maxIdlePerThread)) {
      thread.forget(grammar.id)
      grammar.home = null
    }
  }

  #retire(thread: GrammarThread): void {
    if (thread.numCompiled < maxCompilations || thread.isCompiling) return
    for (const { home, matchers } of this.#grammars.values()) if (home === thread && matchers.size > 0) return
    void thread.end()
  }

  #createMatcher({ id, spec }: MaskRow): Matcher {
    const grammar = this.#grammarOf(spec)
    const matcher: Matcher = {
      id: ++this.#lastId,
      grammar,
      cell: MaskCell.create(1, this.#options.vocabSize),
      home: null,
      numTaken: 0,
      asked: null,
      numRequests: 0,
      patienceMs: this.#limits.patienceMs,
    }
    grammar.matchers.add(matcher)
    this.#matchers.set(id, matcher)
    return matcher
  }

  /** `null` where the same was asked already. */
  #requestOf(matcher: Matcher, row: MaskRow, home: GrammarThread): MaskRequest | null {
    const isNew = matcher.home !== home
    if (isNew) {
      home.open(matcher.id, matcher.grammar.id)
      matcher.home = home
      matcher.numTaken = 0
      // A thread that is being ended may still write to the one before.
      matcher.cell = MaskCell.create(row.draftTokenIds.length + 1, this.#options.vocabSize)
    } else if (matcher.asked?.numTokens === row.tokenIds.length) return null
    const hasRoom = row.draftTokenIds.length < matcher.cell.capacity
    if (!hasRoom) matcher.cell = MaskCell.create(row.draftTokenIds.length + 1, this.#options.vocabSize)
    const { numTaken } = matcher
    const request = ++matcher.numRequests
    matcher.asked = { request, numTokens: row.tokenIds.length, draftTokenIds: [...row.draftTokenIds] }
    matcher.numTaken = row.tokenIds.length - row.numPromptTokens
    return {
      matcher: matcher.id,
      request,
      numTaken,
      tokenIds: row.tokenIds.slice(row.numPromptTokens + numTaken),
      draftTokenIds: matcher.asked.draftTokenIds,
      ...((isNew || !hasRoom) && { cell: matcher.cell.buffer }),
    }
  }

  /** All masks of a step are waited for at once; one that was late is waited for less until it is in time again. */
  #await(matcher: Matcher, request: number): boolean {
    if (matcher.cell.answered === request) return true
    const { patienceMs } = this.#limits
    const now = performance.now()
    this.#waitingSinceMs ??= now
    const leftMs = Math.max(matcher.patienceMs, this.#minPatienceMs) - (now - this.#waitingSinceMs)
    const isInTime = matcher.cell.wait(request, Math.max(0, leftMs))
    if (isInTime) matcher.patienceMs = Math.min(patienceMs, 2 * Math.max(1, matcher.patienceMs))
    else {
      matcher.patienceMs = matcher.patienceMs < 1 ? 0 : matcher.patienceMs / 4
      matcher.home?.watch()
    }
    return isInTime
  }
}
