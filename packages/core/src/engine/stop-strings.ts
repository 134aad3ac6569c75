/** Where a stop string was found in a text. */
export interface StopMatch {
  readonly stop: string
  readonly start: number
  readonly end: number
}

/** What matching one stop string needs to know of it. */
export interface StopAutomaton {
  readonly stop: string
  /** `failure[n]`: the longest proper prefix of the stop string that the first `n` characters end with. */
  readonly failure: Int32Array
}

const compiled = new WeakMap<readonly string[], readonly StopAutomaton[]>()

/** Takes memory and time by the length of the stop strings, so it is done once per list, which prompts and samples share. */
export function compileStops(stops: readonly string[]): readonly StopAutomaton[] {
  const known = compiled.get(stops)
  if (known !== undefined) return known
  const automata = stops.map((stop) => ({ stop, failure: failureOf(stop) }))
  compiled.set(stops, automata)
  return automata
}

/**
 * Looks for stop strings in a text that comes in pieces, a few operations per character and stop string whatever their
 * lengths (Knuth, Morris, Pratt 1977). The match that completes first wins; of several that end together, the longest.
 */
export class StopMatcher {
  readonly #automata: readonly StopAutomaton[]
  /** Per stop string, how many of its characters the text ends with. */
  readonly #matched: Int32Array
  #length = 0

  constructor(automata: readonly StopAutomaton[]) {
    this.#automata = automata
    this.#matched = new Int32Array(automata.length)
  }

  /** Characters at the end of the text that may be the beginning of a stop string: they must not be shown yet. */
  get heldBackLength(): number {
    return this.#matched.reduce((longest, matched) => Math.max(longest, matched), 0)
  }

  /** Takes the next piece of text. @returns the match in the whole text so far, if this piece completes one */
  push(piece: string): StopMatch | null {
    for (let i = 0; i < piece.length; i++) {
      const match = this.#step(piece[i]!)
      if (match !== null) return match
    }
    return null
  }

  /** As `push`, but what completes in this piece does not count. */
  pass(piece: string): void {
    for (let i = 0; i < piece.length; i++) this.#step(piece[i]!)
  }

  #step(char: string): StopMatch | null {
    this.#length++
    let best: string | null = null
    for (let index = 0; index < this.#automata.length; index++) {
      const { stop, failure } = this.#automata[index]!
      let matched = this.#matched[index]!
      while (matched > 0 && stop[matched] !== char) matched = failure[matched]!
      if (stop[matched] === char) matched++
      if (matched === stop.length) {
        if (best === null || stop.length > best.length) best = stop
        matched = failure[matched]!
      }
      this.#matched[index] = matched
    }
    return best === null ? null : { stop: best, start: this.#length - best.length, end: this.#length }
  }
}

function failureOf(stop: string): Int32Array {
  const failure = new Int32Array(stop.length + 1)
  let matched = 0
  for (let n = 1; n < stop.length; n++) {
    while (matched > 0 && stop[n] !== stop[matched]) matched = failure[matched]!
    if (stop[n] === stop[matched]) matched++
    failure[n + 1] = matched
  }
  return failure
}
