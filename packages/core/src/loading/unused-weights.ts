import { CheckpointError } from '../errors.ts'
import { widenRow } from '../tensor/dequantize.ts'
import type { RawTensor } from './raw-tensor.ts'
import { tryWeight } from './weight-source.ts'
import type { WeightSource } from './weight-source.ts'
import type { WeightView } from './weight-view.ts'

/** Tensors that files carry and a text decoder computes without. */
export interface UnusedWeights {
  /** Of stored names. */
  readonly pattern: RegExp
  readonly reason: string
  /** Throws CheckpointError where it can't be what it is said to be. */
  readonly check?: (tensor: RawTensor) => void
}

const knownUnused: readonly UnusedWeights[] = [
  {
    pattern: /(^|\.)rotary_emb\.(\w+_)?(inv_freq|cos_cached|sin_cached)$/,
    reason: 'rotary tables, computed from the config',
  },
  { pattern: /(^|\.)rope(_freqs|_factors_long|_factors_short)\.weight$/, reason: "GGUF's, read with the config" },
  { pattern: /(^|\.)attn\.(bias|masked_bias)$/, reason: 'the causal mask of GPT-2 (projections are c_attn, c_proj)' },
  { pattern: /(^|\.)(position_ids|attention_mask|causal_mask|num_batches_tracked)$/, reason: 'buffers' },
  {
    pattern: /^(model\.)?(vision|visual|audio|image|video|speech|multi_modal|multimodal|mm|embed_(vision|audio))(_|\.)/,
    reason: 'towers and projectors of other media; the text decoder alone is computed',
  },
  { pattern: /^(v|mm)\.(blk|patch_embd|post_ln|soft_emb_norm|\d)/, reason: "the same in GGUF's names" },
  { pattern: /(^|\.)(mtp|nextn|mtp_layers)\./, reason: 'heads that predict further tokens (MTP)' },
  { pattern: /^(v_head|value_head|score|classifier)\./, reason: 'heads beside that of the language model' },
  {
    pattern: /\.(q|k|v|prob_output|kv)_scale$|\.(k|v|qkv)_proj\.output_scale$/,
    reason: 'scales of an 8-bit KV cache that are the same for all tokens; each token of ours has its own',
    check: checkCacheScale,
  },
]

/** Weights whatever their dtype. */
const codes = /\.(weight|qweight|weight_packed)$|_proj_blocks$/

const maxNamed = 5

/**
 * Throws CheckpointError where a weight was read by no layer, as the tokens would be wrong without a word. Other tensors
 * than weights, in a dtype that nothing computes with, are buffers (positions, masks, counters).
 */
export function checkAllRead(source: WeightSource, view: WeightView, more: readonly UnusedWeights[]): void {
  const known = [...knownUnused, ...more]
  const isWeight = (name: string): boolean => codes.test(name) || tryWeight(source, name) !== null
  const unread = view.unread()
  for (const name of unread) known.find(({ pattern }) => pattern.test(name))?.check?.(source.raw(name)!)
  const unknown = unread.filter((name) => !known.some(({ pattern }) => pattern.test(name)) && isWeight(name))
  if (unknown.length === 0) return
  const named = unknown.slice(0, maxNamed).map((name) => `"${name}"`)
  const rest = unknown.length > maxNamed ? ` and ${unknown.length - maxNamed} more` : ''
  throw new CheckpointError(
    source.file,
    `no layer reads ${named.join(', ')}${rest}: without ${unknown.length === 1 ? 'it' : 'them'} the tokens would be wrong. ` +
      `Its config.json must say what these are for, or the architecture does not have them; a model's definition can name what it does not need`,
  )
}

/** Finite and positive, one or one for each head. */
function checkCacheScale(tensor: RawTensor): void {
  const { name, file, dtype, shape, sizeInBytes } = tensor
  if (dtype !== 'float32' && dtype !== 'float16' && dtype !== 'bfloat16')
    throw new CheckpointError(file, `expected a scale in floats, found ${dtype}`, { tensor: name })
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1))
  const bytes = new Uint8Array(sizeInBytes)
  tensor.read(bytes)
  widenRow(dtype, bytes, values, values.length)
  const wrong = values.find((value) => !(value > 0 && value < Infinity))
  if (wrong !== undefined)
    throw new CheckpointError(file, `holds ${wrong}, and a scale of keys or values is a positive number`, {
      tensor: name,
    })
}
