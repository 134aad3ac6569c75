import { bertDesign } from './encoder-design.ts'
import { defineEncoder } from './encoder.ts'

/**
 * ModernBERT (Warner et al. 2024, arXiv:2412.13663): norms before the sublayers (the first block's attention has none, as the
 * embeddings are normed), rope, a gated MLP, and windows in two layers of three.
 */
export const definition = defineEncoder((config) => {
  const { hasClassifierBias: hasBias, classifierActivation: activation } = config.pooling
  const classifier = { dense: { name: 'head.dense', hasBias, activation, norm: 'head.norm' }, output: 'classifier' }
  return {
    ...bertDesign(config),
    stack: 'model.',
    embedding: 'embeddings.tok_embeddings',
    positions: null,
    tokenTypes: null,
    hasSegments: false,
    embeddingNorm: 'embeddings.norm',
    layers: 'layers',
    norms: {
      place: 'before',
      attention: (layer) => (layer === 0 ? null : 'attn_norm'),
      mlp: 'mlp_norm',
      final: 'final_norm',
    },
    attention: { qkv: { qkv: 'attn.Wqkv' }, output: 'attn.Wo', hasBias: config.hasAttentionBias },
    mlp: {
      kind: 'gated',
      prefixes: { gateUp: 'mlp.Wi' },
      down: 'mlp.Wo',
      hasBias: config.hasMlpBias,
      activation: config.activation,
    },
    classifiers: { texts: classifier, tokens: classifier },
    unused: [{ pattern: /^(head|decoder)\./, reason: 'the head of pretraining' }],
  }
})
