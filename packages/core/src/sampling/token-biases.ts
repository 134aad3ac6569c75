import type { SamplingParams } from '../sampling-params.ts'
import type { TokenDraw } from '../ops/sample.ts'

type Biases = TokenDraw['biases']

/** A logit bias is clamped to [-100, 100]. */
const maxBias = 100

/** Bad words by their tokens from the last but one backwards; `banned` are the last tokens of those that end here. */
interface BadWordNode {
  readonly banned: Set<number>
  readonly before: Map<number, BadWordNode>
}

/** Of one request, shared by its samples, which share the list. */
const badWordTries = new WeakMap<SamplingParams['badWordsTokenIds'], BadWordNode>()

export interface TokenBiasesOptions {
  readonly params: SamplingParams
  readonly eosTokenIds: readonly number[]
  readonly vocabSize: number
}

/**
 * What a sequence's parameters add to its logits: bad words → min tokens → logit bias (vLLM's order). A step costs what
 * the longest bad word and the matches cost, however many words there are.
 */
export class TokenBiases {
  /** Bad words of one token, then the logit bias. */
  readonly #always: Biases
  /** Until `minTokens`: whatever ends the sequence. */
  readonly #whileShort: Biases
  readonly #minTokens: number
  readonly #badWords: BadWordNode
  readonly #vocabSize: number

  constructor({ params, eosTokenIds, vocabSize }: TokenBiasesOptions) {
    const { badWordsTokenIds, logitBias, minTokens, stopTokenIds } = params
    this.#vocabSize = vocabSize
    this.#minTokens = minTokens
    this.#badWords = badWordsOf(badWordsTokenIds)
    const wanted = Object.entries(logitBias ?? {}).map(([key, value]) => ({
      tokenId: Number(key),
      value: Math.min(maxBias, Math.max(-maxBias, value)),
    }))
    this.#always = [...this.#bans([...this.#badWords.banned]), ...wanted]
    this.#whileShort = minTokens > 0 ? [...this.#bans([...eosTokenIds, ...stopTokenIds]), ...this.#always] : []
  }

  /** For the token after `tokenIds`: prompt, then output. */
  at(tokenIds: readonly number[], numPromptTokens: number): Biases {
    const isShort = tokenIds.length - numPromptTokens < this.#minTokens
    const known = isShort ? this.#whileShort : this.#always
    const matched = this.#match(tokenIds, numPromptTokens)
    return matched.length === 0 ? known : [...this.#bans(matched), ...known]
  }

  /** The last tokens of the bad words of several tokens whose other tokens the output ends with. */
  #match(tokenIds: readonly number[], numPromptTokens: number): readonly number[] {
    const matched: number[] = []
    let node: BadWordNode | undefined = this.#badWords
    for (let i = tokenIds.length - 1; i >= numPromptTokens; i--) {
      node = node.before.get(tokenIds[i]!)
      if (node === undefined) break
      for (const tokenId of node.banned) matched.push(tokenId)
    }
    return matched
  }

  #bans(tokenIds: readonly number[]): Biases {
    return tokenIds.filter((id) => id < this.#vocabSize).map((tokenId) => ({ tokenId, value: -Infinity }))
  }
}

function badWordsOf(words: SamplingParams['badWordsTokenIds']): BadWordNode {
  const known = badWordTries.get(words)
  if (known !== undefined) return known
  const root: BadWordNode = { banned: new Set(), before: new Map() }
  for (const word of words) if (word.length > 0) addWord(root, word)
  badWordTries.set(words, root)
  return root
}

function addWord(root: BadWordNode, word: readonly number[]): void {
  let node = root
  for (let i = word.length - 2; i >= 0; i--) {
    let next = node.before.get(word[i]!)
    if (next === undefined) {
      next = { banned: new Set(), before: new Map() }
      node.before.set(word[i]!, next)
    }
    node = next
  }
  node.banned.add(word.at(-1)!)
}
