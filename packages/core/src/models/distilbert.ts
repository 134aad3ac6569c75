import { bertDesign } from './encoder-design.ts'
import { defineEncoder } from './encoder.ts'

/** DistilBERT (Sanh et al. 2019, arXiv:1910.01108): BERT without token types and pooler. */
export const definition = defineEncoder((config) => ({
  ...bertDesign(config),
  stack: 'distilbert.',
  tokenTypes: null,
  hasSegments: false,
  layers: 'transformer.layer',
  norms: { place: 'after', attention: 'sa_layer_norm', mlp: 'output_layer_norm' },
  attention: {
    qkv: { q: 'attention.q_lin', k: 'attention.k_lin', v: 'attention.v_lin' },
    output: 'attention.out_lin',
    hasBias: true,
  },
  mlp: { kind: 'plain', up: 'ffn.lin1', down: 'ffn.lin2', hasBias: true, activation: config.activation },
  classifiers: {
    texts: {
      dense: { name: 'pre_classifier', hasBias: true, activation: 'relu', norm: null },
      output: 'classifier',
    },
    tokens: { dense: null, output: 'classifier' },
  },
  unused: [
    { pattern: /^vocab_(transform|layer_norm|projector)\./, reason: 'the head of pretraining' },
    { pattern: /^pre_classifier\./, reason: 'of a classifier of whole texts' },
  ],
}))
