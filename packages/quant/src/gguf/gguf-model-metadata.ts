import { UnsupportedModelError } from '@octavo/core'
import type { GgufArchitecture } from '@octavo/core/loading'
import type { ModelActivation, ModelConfig, RopeScaling, PoolingConfig, PoolingType } from '@octavo/core/model'
import { float32, text, uint32, type GgufValue } from './gguf-value.ts'

/** A matrix or vector of numbers that follows from the config, not from a stored tensor. */
export interface ComputedTensor {
  readonly name: string
  readonly values: Float32Array
}

export interface ModelMetadata {
  readonly entries: Map<string, GgufValue>
  readonly tensors: readonly ComputedTensor[]
  /** What llama.cpp does otherwise than the config says. */
  readonly notes: readonly string[]
}

const activations: Readonly<Record<string, ModelActivation>> = {
  gemma2: 'gelu_tanh',
  gemma3: 'gelu_tanh',
  gpt2: 'gelu_tanh',
}

/**
 * A config as llama.cpp's keys (gguf-py/gguf/constants.py), the inverse of core's `gguf-config.ts` and `gguf-rope.ts`.
 * @throws UnsupportedModelError for what these keys can't say
 */
export function modelMetadata(
  config: ModelConfig,
  architecture: GgufArchitecture,
  pooling: PoolingConfig,
): ModelMetadata {
  const { key } = architecture
  checkSayable(config, key)
  const notes: string[] = []
  const tensors: ComputedTensor[] = []
  const own = new Map<string, GgufValue>([
    ['block_count', uint32(config.numLayers)],
    ['context_length', uint32(config.maxPositionEmbeddings)],
    ['embedding_length', uint32(config.hiddenSize)],
    ['feed_forward_length', uint32(config.intermediateSize)],
    ['attention.head_count', uint32(config.numHeads)],
    ['vocab_size', uint32(config.vocabSize)],
  ])
  if (key === 'gpt2') own.set('attention.layer_norm_epsilon', float32(config.normEpsilon))
  else {
    own.set('attention.head_count_kv', uint32(config.numKvHeads))
    own.set('attention.key_length', uint32(config.headDim))
    own.set('attention.value_length', uint32(config.headDim))
    own.set('attention.layer_norm_rms_epsilon', float32(config.normEpsilon))
    own.set('rope.dimension_count', uint32(config.rope.rotaryDim))
    own.set('rope.freq_base', float32(config.rope.theta))
    addScaling(config, own, tensors)
  }
  if (config.rope.scaling.type === 'yarn' && !config.rope.scaling.truncate)
    notes.push("llama.cpp rounds the frequencies between which yarn blends, the config's truncate is false")
  addExperts(config, own)
  addFamily(config, key, { own, notes })
  addPooling(pooling, own, notes)
  const entries = new Map<string, GgufValue>([['general.architecture', text(key)]])
  for (const [name, value] of own) entries.set(`${key}.${name}`, value)
  return { entries, tensors, notes }
}

function checkSayable(config: ModelConfig, key: string): void {
  const refuse = (what: string): never => {
    throw new UnsupportedModelError(`${config.file}: ${what}, which GGUF's "${key}" can't say.`)
  }
  if (config.pooling.classifier !== null) refuse('it is a classifier')
  const activation = activations[key] ?? 'silu'
  if (config.activation !== activation) refuse(`the activation is ${config.activation} and not ${activation}`)
  if (!config.isAttentionScaled || config.isAttentionScaledByLayer) refuse('attention is scaled in its own way')
  const { moe, slidingWindow } = config
  if (moe !== null && moe.layers.includes(false)) refuse('some layers have experts and some have none')
  if (key === 'qwen3moe' && moe?.normTopkProb === false) refuse("the chosen experts' probabilities are not normalized")
  if (slidingWindow !== null && (key === 'qwen2' || key.startsWith('qwen3') || key === 'olmo2'))
    refuse('some layers have a sliding window')
  const isAlternating = config.layerTypes.every((type, layer) => type === (layer % 2 === 0 ? 'sliding' : 'full'))
  if (slidingWindow !== null && (key === 'gemma2' || key === 'gpt-oss') && !isAlternating)
    refuse('layers with and without a window do not alternate')
}

/** llama.cpp's numbers of what it pools by. */
const poolingTypes: Readonly<Record<PoolingType, number>> = { mean: 1, cls: 2, last: 3 }

/** Of a checkpoint that is made for embedding. */
function addPooling(
  { canGenerate, dense, isNormalized, type }: PoolingConfig,
  own: Map<string, GgufValue>,
  notes: string[],
): void {
  if (canGenerate) return
  const [layer] = dense
  if (layer !== undefined)
    throw new UnsupportedModelError(`${layer.folder}: a dense layer behind an embedding, which GGUF can't say.`)
  own.set('pooling_type', uint32(poolingTypes[type]))
  if (!isNormalized) notes.push("the checkpoint's embeddings are not normalized, which GGUF does not say")
}

function addExperts({ moe }: ModelConfig, own: Map<string, GgufValue>): void {
  if (moe === null) return
  own.set('expert_count', uint32(moe.numExperts))
  own.set('expert_used_count', uint32(moe.numExpertsPerToken))
  own.set('expert_feed_forward_length', uint32(moe.intermediateSize))
}

function addFamily(
  config: ModelConfig,
  key: string,
  { own, notes }: { own: Map<string, GgufValue>; notes: string[] },
): void {
  const { slidingWindow, attentionSoftcap, finalSoftcap, queryPreAttnScalar } = config
  if (slidingWindow !== null) own.set('attention.sliding_window', uint32(slidingWindow))
  else if (key === 'phi3' || key.startsWith('gemma')) own.set('attention.sliding_window', uint32(0))
  if (slidingWindow !== null && (key === 'llama' || key === 'phi3'))
    notes.push(`llama.cpp lets "${key}" see all tokens, not only the last ${slidingWindow}`)
  if (attentionSoftcap !== null) own.set('attn_logit_softcapping', float32(attentionSoftcap))
  if (finalSoftcap !== null) own.set('final_logit_softcapping', float32(finalSoftcap))
  if (key === 'gemma3') {
    own.set('rope.freq_base_swa', float32(config.slidingRope.theta))
    addPattern(config, own, notes)
  }
  if (!key.startsWith('gemma') || queryPreAttnScalar === null) return
  own.set('attention.scale', float32(queryPreAttnScalar ** -0.5))
  const isLargest = config.numLayers === (key === 'gemma2' ? 46 : 62)
  const assumed = isLargest ? config.hiddenSize / config.numHeads : config.headDim
  if (queryPreAttnScalar !== assumed)
    notes.push(`llama.cpp scales attention by ${assumed} ** -0.5, the config by ${queryPreAttnScalar} ** -0.5`)
}

/** Gemma 3: every n-th layer is full. */
function addPattern({ layerTypes }: ModelConfig, own: Map<string, GgufValue>, notes: string[]): void {
  const period = layerTypes.indexOf('full') + 1
  const isPeriodic = period > 0 && layerTypes.every((type, layer) => (type === 'full') === ((layer + 1) % period === 0))
  own.set(
    'attention.sliding_window_pattern',
    isPeriodic ? uint32(period) : { type: 'array', of: 'bool', values: layerTypes.map((type) => type === 'sliding') },
  )
  if (period !== 6) notes.push('llama.cpp gives every sixth layer of "gemma3" full attention, whatever the file says')
}

function addScaling(config: ModelConfig, own: Map<string, GgufValue>, tensors: ComputedTensor[]): void {
  const { scaling } = config.rope
  switch (scaling.type) {
    case 'default':
      return
    case 'linear':
      own.set('rope.scaling.type', text('linear'))
      own.set('rope.scaling.factor', float32(scaling.factor))
      return
    case 'llama3':
      tensors.push({ name: 'rope_freqs.weight', values: llama3Divisors(config, scaling) })
      return
    case 'yarn':
      addYarn(scaling, own)
      return
    case 'longrope':
      own.set('rope.scaling.type', text('longrope'))
      own.set('rope.scaling.original_context_length', uint32(scaling.originalMaxPositions))
      own.set('rope.scaling.attn_factor', float32(scaling.attentionFactor))
      tensors.push({ name: 'rope_factors_long.weight', values: Float32Array.from(scaling.longFactors) })
      tensors.push({ name: 'rope_factors_short.weight', values: Float32Array.from(scaling.shortFactors) })
  }
}

function addYarn(scaling: Extract<RopeScaling, { type: 'yarn' }>, own: Map<string, GgufValue>): void {
  own.set('rope.scaling.type', text('yarn'))
  own.set('rope.scaling.factor', float32(scaling.factor))
  own.set('rope.scaling.original_context_length', uint32(scaling.originalMaxPositions))
  own.set('rope.scaling.yarn_beta_fast', float32(scaling.betaFast))
  own.set('rope.scaling.yarn_beta_slow', float32(scaling.betaSlow))
  const usual = scaling.factor <= 1 ? 1 : 0.1 * Math.log(scaling.factor) + 1
  if (Math.abs(scaling.attentionFactor - usual) > 1e-6)
    own.set('rope.scaling.yarn_attn_factor', float32(scaling.attentionFactor))
}

/** One divisor per rotary frequency: convert_hf_to_gguf.py, `LlamaModel.generate_extra_tensors`. */
function llama3Divisors({ rope }: ModelConfig, scaling: Extract<RopeScaling, { type: 'llama3' }>): Float32Array {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling
  return Float32Array.from({ length: rope.rotaryDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * rope.theta ** ((2 * i) / rope.rotaryDim)
    if (wavelength < originalMaxPositions / highFreqFactor) return 1
    if (wavelength > originalMaxPositions / lowFreqFactor) return factor
    const smooth = (originalMaxPositions / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
    return 1 / ((1 - smooth) / factor + smooth)
  })
}
