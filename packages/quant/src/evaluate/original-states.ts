import { setImmediate } from 'node:timers/promises'
import { gather, slice, tensor1d, tensor2d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { InvalidLogitsError } from '@octavo/core'
import { assert, type BackendPack } from '@octavo/core/backend'
import type { CausalLM, ForwardContext, OpenedModel } from '@octavo/core/model'
import { DivergenceCollector, tokenDivergence, type TokenDivergence, tokenLoss } from './divergence.ts'
import { bootstrapMean, type Cluster, type Estimate } from './estimate.ts'
import { RowStore } from './row-store.ts'
import { batchSequences, createBatchKv, scoredRows, type SequenceBatch } from './sequence-batch.ts'
import { type Corpus, numScoredTokens } from './token-sequences.ts'

/** Logits of this many rows at once: a vocabulary may have 200,000 entries. */
const maxLogitRows = 64

export interface OriginalStatesOptions {
  readonly name: string
  readonly pack: BackendPack
  readonly corpora: readonly Corpus[]
  /** What the final hidden states may take in memory; more goes to a temporary file. */
  readonly budgetBytes: number
  readonly onProgress?: Progress
}

/** Told after each batch. */
export type Progress = (doneTokens: number, totalTokens: number) => void

interface CorpusBatches {
  readonly name: string
  readonly batches: readonly SequenceBatch[]
}

/** One corpus, seen by the original and by a model. */
export interface ComparedCorpus {
  readonly name: string
  readonly divergences: DivergenceCollector
}

/**
 * What the original computes for some corpora: its final hidden states at every scored token, so that its logits, which are
 * too many to keep, come from its head alone while another model runs. Of two models one is in memory at a time.
 */
export class OriginalStates implements Disposable {
  readonly #opened: OpenedModel
  readonly #options: OriginalStatesOptions
  readonly #corpora: readonly CorpusBatches[]
  readonly #batches: readonly SequenceBatch[]
  readonly #states: RowStore
  readonly #losses = new Map<string, Cluster[]>()
  #weightBytes = 0

  private constructor(opened: OpenedModel, options: OriginalStatesOptions) {
    this.#opened = opened
    this.#options = options
    this.#corpora = options.corpora.map(({ name, sequences }) => ({ name, batches: batchSequences(sequences) }))
    this.#batches = this.#corpora.flatMap(({ batches }) => batches)
    this.#states = new RowStore(options.budgetBytes)
  }

  /** Runs the original over all of them. @throws InvalidLogitsError where it computes what is no distribution */
  static async compute(opened: OpenedModel, options: OriginalStatesOptions): Promise<OriginalStates> {
    const states = new OriginalStates(opened, options)
    try {
      await states.#compute()
      return states
    } catch (error) {
      states[Symbol.dispose]()
      throw error
    }
  }

  /** Of the original. */
  get weightBytes(): number {
    return this.#weightBytes
  }

  /** Mean −ln p of the original, per corpus. */
  loss(corpus: string, seed: number): Estimate {
    return bootstrapMean(this.#losses.get(corpus) ?? [], seed)
  }

  /** Runs a model over the same tokens. @throws InvalidLogitsError */
  async compare(model: CausalLM, name: string, onProgress?: Progress): Promise<ComparedCorpus[]> {
    const { numLayers } = this.#opened.config
    const head = this.#opened.load({ start: numLayers, end: numLayers })
    const collectors = new Map(this.#corpora.map((corpus) => [corpus.name, new DivergenceCollector()]))
    try {
      await this.#run(model, onProgress, (hidden, { corpus, index, context, rows, targets, batch }) => {
        const final = tensor2d(this.#states.get(index), [rows.length, this.#opened.config.hiddenSize])
        const originals = logitRows(head, final, { ...context, tokens: rows })
        const tokens: TokenDivergence[] = []
        for (const logits of logitRows(model, hidden, { ...context, tokens: rows })) {
          const original = originals.next()
          assert(original.done !== true, 'both have as many rows')
          const token = tokenDivergence(original.value, logits, targets[tokens.length]!)
          checkDistribution(token.kl, name, corpus)
          tokens.push(token)
        }
        for (const part of perSequence(batch, tokens)) collectors.get(corpus)?.addSequence(part)
      })
    } finally {
      head.dispose()
    }
    return [...collectors].map(([corpus, divergences]) => ({ name: corpus, divergences }))
  }

  [Symbol.dispose](): void {
    this.#states[Symbol.dispose]()
  }

  async #compute(): Promise<void> {
    const model = this.#opened.load()
    this.#weightBytes = model.weightBytes
    try {
      await this.#run(model, this.#options.onProgress, (hidden, { corpus, context, rows, targets, batch }) => {
        this.#states.add(hidden.dataSync<'float32'>())
        const losses: number[] = []
        for (const logits of logitRows(model, hidden, { ...context, tokens: rows })) {
          const loss = tokenLoss(logits, targets[losses.length]!)
          checkDistribution(loss, this.#options.name, corpus)
          losses.push(loss)
        }
        const clusters = this.#losses.get(corpus) ?? []
        for (const part of perSequence(batch, losses))
          clusters.push({ sum: part.reduce((sum, loss) => sum + loss, 0), count: part.length })
        this.#losses.set(corpus, clusters)
      })
    } finally {
      model.dispose()
    }
  }

  /** `use` is given the final hidden states of each batch's scored tokens, inside a `tidy`. */
  async #run(model: CausalLM, onProgress: Progress | undefined, use: UseBatch): Promise<void> {
    const { pack } = this.#options
    const kv = createBatchKv(model, pack, this.#batches)
    const totalTokens = this.#batches.reduce((sum, { inputIds }) => sum + inputIds.length, 0)
    let doneTokens = 0
    let index = 0
    try {
      for (const { name: corpus, batches } of this.#corpora) {
        for (const batch of batches) {
          const context: ForwardContext = { metadata: batch.metadata, kv, tokens: null }
          const { rows, targets } = scoredRows(batch)
          tidy(() => {
            const hidden = gather(model.forward(batch.inputIds, context), tensor1d(rows, 'int32'))
            use(hidden, { corpus, index, context, rows, targets, batch })
          })
          index++
          doneTokens += batch.inputIds.length
          onProgress?.(doneTokens, totalTokens)
          await setImmediate() // signals, and what shows the progress
        }
      }
    } finally {
      kv.dispose()
    }
  }
}

interface UsedBatch {
  readonly corpus: string
  /** Over the batches of all corpora. */
  readonly index: number
  readonly context: ForwardContext
  readonly rows: Int32Array
  readonly targets: Int32Array
  readonly batch: SequenceBatch
}

type UseBatch = (hidden: Tensor2D, batch: UsedBatch) => void

/** Rows of final hidden states → their logits, one after the other. */
function* logitRows(
  model: CausalLM,
  hidden: Tensor2D,
  context: ForwardContext & { readonly tokens: Int32Array },
): Generator<Float32Array> {
  const { vocabSize } = model.config
  const numRows = hidden.shape[0]
  for (let start = 0; start < numRows; start += maxLogitRows) {
    const count = Math.min(maxLogitRows, numRows - start)
    const logits = tidy(() => {
      const tokens = context.tokens.subarray(start, start + count)
      return model.computeLogits(slice(hidden, [start, 0], [count, -1]), { ...context, tokens })
    })
    const values = logits.dataSync<'float32'>()
    logits.dispose()
    for (let i = 0; i < count; i++) yield values.subarray(i * vocabSize, (i + 1) * vocabSize)
  }
}

function* perSequence<T>({ sequences }: SequenceBatch, tokens: readonly T[]): Generator<readonly T[]> {
  let start = 0
  for (const sequence of sequences) {
    const end = start + numScoredTokens(sequence)
    if (end > start) yield tokens.slice(start, end)
    start = end
  }
}

function checkDistribution(value: number, model: string, corpus: string): void {
  if (Number.isNaN(value))
    throw new InvalidLogitsError(
      `${model} computes logits for ${corpus} that are no distribution (NaN): its weights, or what was made of them, are broken.`,
    )
}
