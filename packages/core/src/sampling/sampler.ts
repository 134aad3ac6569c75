import { InvalidLogitsError, InvalidRequestError } from '../errors.ts'
import { hasKernel } from '../ops/op.ts'
import { type NoToken, sample, sampleKernel } from '../ops/sample.ts'
import type { TokenLogprobs } from '../sequence/outputs.ts'
import { drawToken } from './draw-token.ts'
import type { Logits } from './logits.ts'
import type { LogitsProcessor } from './logits-processor.ts'
import { computeLogprobs } from './logprobs.ts'
import { describeDraw, type SamplingState } from './sampling-state.ts'

/** A sequence that needs its next token. */
export interface SamplerRow {
  /** Which row of the logits. */
  readonly row: number
  readonly state: SamplingState
}

/** The next token of one sequence, or why it cannot have one: that ends this sequence and no other. */
export type SamplerResult =
  | { readonly tokenId: number; readonly logprobs: TokenLogprobs | null }
  | { readonly error: Error }

/** The sampling step of a model runner. */
export interface Sampler {
  /**
   * One result per row, in their order. It must not depend on which rows come together, or outputs depend on the batch.
   * Each call has a sequence once at most; where drafts are accepted, there are several calls in a step.
   */
  sample(logits: Logits, rows: readonly SamplerRow[]): SamplerResult[]
}

/** Samples as the parameters say: in the backend's kernel where it has one and the row allows, else on the host. */
export class TokenSampler implements Sampler {
  readonly #processors: readonly LogitsProcessor[]

  /** `processors` run in their order, on rows of the host. */
  constructor(processors: readonly LogitsProcessor[] = []) {
    this.#processors = processors
  }

  sample(logits: Logits, rows: readonly SamplerRow[]): SamplerResult[] {
    const drawn = this.#drawInKernel(logits, rows)
    return rows.map((row) => drawn.get(row) ?? this.#drawOnHost(logits.row(row.row), row.state))
  }

  #drawInKernel(logits: Logits, rows: readonly SamplerRow[]): ReadonlyMap<SamplerRow, SamplerResult> {
    if (this.#processors.length > 0 || !hasKernel(sampleKernel)) return new Map()
    const taken = rows.filter(({ state: { params } }) => params.logprobs === null)
    if (taken.length === 0) return new Map()
    const drawn = sample(
      logits.tensor,
      taken.map(({ row, state }) => ({ row, draw: describeDraw(state) })),
    )
    return new Map(taken.map((row, i) => [row, resultOf(drawn[i]!)]))
  }

  #drawOnHost(logits: Float32Array, state: SamplingState): SamplerResult {
    const numLogprobs = state.params.logprobs
    const raw = numLogprobs === null ? null : logits.slice() // logprobs are those before processors, penalties and temperature
    try {
      for (const processor of this.#processors) processor.apply(logits, state)
    } catch (error) {
      return { error: error instanceof Error ? error : new Error(String(error)) }
    }
    const drawn = drawToken(logits, describeDraw(state))
    if (typeof drawn === 'string' || raw === null || numLogprobs === null) return resultOf(drawn)
    return { tokenId: drawn, logprobs: computeLogprobs(raw, drawn, numLogprobs) }
  }
}

function resultOf(drawn: number | NoToken): SamplerResult {
  return typeof drawn === 'number' ? { tokenId: drawn, logprobs: null } : { error: noTokenError(drawn) }
}

function noTokenError(reason: NoToken): Error {
  if (reason === 'nan')
    return new InvalidLogitsError(
      'The model computed logits that are not numbers (NaN) for this request. The checkpoint is damaged, or its values overflow in the dtype chosen; try dtype float32, or another checkpoint.',
    )
  return new InvalidRequestError(
    [
      'No token is left that may come next: ',
      { field: 'allowedTokenIds' },
      ', ',
      { field: 'badWords' },
      ', ',
      { field: 'minTokens' },
      ', ',
      { field: 'structuredOutput' },
      ' and logits processors ban all of them. Ban fewer.',
    ],
    'allowedTokenIds',
  )
}
