import type { EngineConfig } from '../config/engine-config.ts'
import type { ModelConfig } from '../config/model-config.ts'
import { InvalidRequestError } from '../errors.ts'
import type { Checkpoint } from '../loading/checkpoint.ts'
import {
  defaultSamplingParams,
  resolveSamplingParams,
  type SamplingParams,
  type SamplingParamsInput,
} from '../sampling-params.ts'
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
export function samplingDefaults(
  checkpoint: Pick<Checkpoint, 'generationConfig'>,
  config: Pick<EngineConfig['model'], 'generationConfig'>,
): SamplingParams {
  const stated = config.generationConfig === 'auto' ? (checkpoint.generationConfig ?? {}) : {}
  let given: SamplingParamsInput = {}
  let params: SamplingParams = defaultSamplingParams
  for (const [name, field] of Object.entries(fields)) {
    const value = stated[name]
    if (typeof value !== 'number') continue
    try {
      const more = { ...given, [field]: value }
      params = resolveSamplingParams(more, { vocabSize: Number.MAX_SAFE_INTEGER, maxLogprobs: -1 })
      given = more
    } catch (error) {
      if (!(error instanceof InvalidRequestError)) throw error
    }
  }
  return stated['do_sample'] === false ? Object.freeze({ ...params, temperature: 0 }) : params
}

/**
 * End-of-sequence ids: those of generation_config.json, else config.json's, and the tokenizer's own beside them, as vLLM
 * has it: a chat model writes it at the end of its turn even where the other files name only the end of a text.
 */
export function eosTokenIdsOf(
  { generationConfig }: Pick<Checkpoint, 'generationConfig'>,
  modelConfig: Pick<ModelConfig, 'eosTokenIds'>,
  tokenizer: Pick<Tokenizer, 'eosTokenId'>,
): readonly number[] {
  const stated = [generationConfig?.['eos_token_id'] ?? []].flat().filter(isTokenId)
  const ids = stated.length > 0 ? stated : modelConfig.eosTokenIds
  return [...new Set(tokenizer.eosTokenId === null ? ids : [...ids, tokenizer.eosTokenId])]
}

function isTokenId(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
