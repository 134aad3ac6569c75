import { numMaskWords } from '../ops/token-mask.ts'

/** Shared with the thread that holds a matcher: its answer to the last request. */
export class MaskCell {
  readonly buffer: SharedArrayBuffer
  readonly #words: Int32Array<SharedArrayBuffer>
  readonly #numMaskWords: number

  constructor(buffer: SharedArrayBuffer, vocabSize: number) {
    this.buffer = buffer
    this.#words = new Int32Array(buffer)
    this.#numMaskWords = numMaskWords(vocabSize)
  }

  static create(numMasks: number, vocabSize: number): MaskCell {
    return new MaskCell(new SharedArrayBuffer(4 * (numHeaderWords + numMasks * numMaskWords(vocabSize))), vocabSize)
  }

  /** How many masks it holds at most. */
  get capacity(): number {
    return Math.floor((this.#words.length - numHeaderWords) / this.#numMaskWords)
  }

  /** Which request was answered last. */
  get answered(): number {
    return Atomics.load(this.#words, answeredWord)
  }

  /** Of the answered request: how many masks there are, or what there is in place of them. */
  get outcome(): number {
    return Atomics.load(this.#words, outcomeWord)
  }

  /** A copy. */
  mask(index: number): Int32Array<ArrayBuffer> {
    const start = numHeaderWords + index * this.#numMaskWords
    return Int32Array.from(this.#words.subarray(start, start + this.#numMaskWords))
  }

  /** `keep`: what may be allowed at all. */
  write(index: number, mask: Int32Array, keep: Int32Array): void {
    const start = numHeaderWords + index * this.#numMaskWords
    for (let i = 0; i < this.#numMaskWords; i++) this.#words[start + i] = mask[i]! & keep[i]!
  }

  answer(request: number, outcome: number): void {
    Atomics.store(this.#words, outcomeWord, outcome)
    Atomics.store(this.#words, answeredWord, request)
    Atomics.notify(this.#words, answeredWord)
  }

  /** @returns whether `request` is answered, at the latest after so long */
  wait(request: number, timeoutMs: number): boolean {
    const until = performance.now() + timeoutMs
    for (;;) {
      const { answered } = this
      if (answered === request) return true
      const left = until - performance.now()
      if (left <= 0) return false
      Atomics.wait(this.#words, answeredWord, answered, left)
    }
  }
}

/** Outcomes that are no number of masks. */
export const maskOutcomes = {
  /** The grammar's end was passed: anything may come. */
  isOver: -1,
  /** A token of the output is not one that the grammar allows. */
  refused: -2,
} as const

const numHeaderWords = 2
const answeredWord = 0
const outcomeWord = 1
