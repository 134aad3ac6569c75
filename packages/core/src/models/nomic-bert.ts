import { bertDesign } from './encoder-design.ts'
import { defineEncoder } from './encoder.ts'

/** Nomic Embed's BERT (Nussbaum et al. 2024, arXiv:2402.01613): BERT with rope, a gated MLP and hardly any biases. */
export const definition = defineEncoder((config) => ({
  ...bertDesign(config),
  positions: null,
  embeddingNorm: 'emb_ln',
  layers: 'encoder.layers',
  norms: { place: 'after', attention: 'norm1', mlp: 'norm2' },
  attention: { qkv: { qkv: 'attn.Wqkv' }, output: 'attn.out_proj', hasBias: false },
  mlp: {
    kind: 'gated',
    prefixes: { gate: 'mlp.fc12', up: 'mlp.fc11' },
    down: 'mlp.fc2',
    hasBias: false,
    activation: config.activation,
  },
}))
