import { type Architecture, isEncoder } from './architectures.ts'
import type { HfConfig } from './hf-config.ts'

export interface EncoderConfig {
  /** Rows of the table of token types; 0 where the model has none. */
  readonly numTokenTypes: number
  readonly padTokenId: number
  /** RoBERTa's first token stands at the position behind that of padding, its own at the padding token's id. */
  readonly firstPosition: number
}

interface Context {
  /** Throws a `CheckpointError` that names the key. */
  fail(key: string, reason: string): never
  /** Throws an `UnsupportedModelError`. */
  unsupported(message: string): never
}

const modelTypes = new Set(['bert', 'roberta', 'xlm-roberta', 'distilbert', 'modernbert', 'nomic_bert'])
const withPaddingPosition = new Set(['roberta', 'xlm-roberta'])

/** `null` where the model type is a decoder's. */
export function parseEncoder(hf: HfConfig, { fail, unsupported }: Context): EncoderConfig | null {
  if (!modelTypes.has(hf.model_type)) return null
  if (hf.is_decoder) unsupported(`a ${hf.model_type} model used as a decoder (is_decoder) is not supported.`)
  const positions = hf.position_embedding_type ?? 'absolute'
  if (positions !== 'absolute')
    unsupported(`position_embedding_type "${positions}" is not supported; known is absolute.`)
  if (hf.model_type === 'modernbert' && hf.rope_scaling !== undefined)
    unsupported('rope_scaling of a modernbert model is not supported.')
  if (hf.model_type === 'nomic_bert') refuseNomicVariants(hf, unsupported)
  const padTokenId = hf.pad_token_id ?? 0
  const firstPosition = withPaddingPosition.has(hf.model_type) ? padTokenId + 1 : 0
  if (firstPosition >= hf.max_position_embeddings)
    fail(
      'max_position_embeddings',
      `${hf.max_position_embeddings} leaves no position behind that of padding, which is pad_token_id ${padTokenId}`,
    )
  return Object.freeze({ numTokenTypes: hf.type_vocab_size ?? 0, padTokenId, firstPosition })
}

function refuseNomicVariants(hf: HfConfig, unsupported: Context['unsupported']): void {
  if (hf.prenorm || hf.use_rms_norm || hf.parallel_block || hf.causal)
    unsupported('nomic_bert models with prenorm, use_rms_norm, parallel_block or causal are not supported.')
  if (hf.rotary_scaling_factor !== undefined)
    unsupported(`rotary_scaling_factor ${hf.rotary_scaling_factor} is not supported; known is none.`)
}

/** A hostile or mistaken file names the architecture of one model and the type of another. */
export function checkEncoderType(
  architecture: Architecture | null,
  encoder: EncoderConfig | null,
  { hf, fail }: Pick<Context, 'fail'> & { readonly hf: HfConfig },
): void {
  if (architecture === null || isEncoder(architecture) === (encoder !== null)) return
  fail('model_type', `"${hf.model_type.slice(0, 100)}" is not a type of the architecture ${hf.architectures[0]}`)
}
