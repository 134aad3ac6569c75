import type { EngineConfig } from '../config/engine-config.ts'
import { InvalidRequestError } from '../errors.ts'
import type { Checkpoint } from '../loading/checkpoint.ts'
import { defaultSamplingParams, resolveSamplingParams, type SamplingParams } from '../sampling-params.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

/** HF's names of the sampling defaults that a checkpoint may state. */
const fields = {
  temperature: 'temperature',
  top_p: 'topP',
  top_k: 'topK',
  min_p: 'minP',
  repetition_penalty: 'repetitionPenalty',
} as const

/**
 * Sampling defaults of a checkpoint (`generation_config.json`), as vLLM takes them: temperature, top-p, top-k, min-p and
 * repetition penalty. `do_sample: false` means greedy, as in transformers. Values out of range are passed over: a file must
 * not make a server refuse all requests.
 */
export function samplingDefaults(checkpoint: Checkpoint, config: EngineConfig): SamplingParams {
  const stated = config.generationConfig === 'auto' ? (checkpoint.generationConfig ?? {}) : {}
  let params: SamplingParams = defaultSamplingParams
  for (const [name, field] of Object.entries(fields)) {
    const value = stated[name]
    if (typeof value !== 'number') continue
    try {
      params = resolveSamplingParams(
        { ...params, [field]: value },
        { vocabSize: Number.MAX_SAFE_INTEGER, maxLogprobs: -1 },
      )
    } catch (error) {
      if (!(error instanceof InvalidRequestError)) throw error
    }
  }
  return stated['do_sample'] === false ? Object.freeze({ ...params, temperature: 0 }) : params
}

/** End-of-sequence ids: generation_config.json, else config.json, else the tokenizer's. */
export function eosTokenIdsOf(checkpoint: Checkpoint, tokenizer: Tokenizer): number[] {
  for (const source of [checkpoint.generationConfig, checkpoint.config]) {
    const ids = [source?.['eos_token_id'] ?? []]
      .flat()
      .filter((id): id is number => Number.isSafeInteger(id) && (id as number) >= 0)
    if (ids.length > 0) return [...new Set(ids)]
  }
  return tokenizer.eosTokenId === null ? [] : [tokenizer.eosTokenId]
}
