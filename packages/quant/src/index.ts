/** Quantization for Octavo: the public names of `@octavo/quant`, listed one by one. */
export { definePass } from './decoder-layer.ts'
export type { DecoderLayer, LayerModule, LayerPass, ModuleInput, SublayerInput, SublayerKind } from './decoder-layer.ts'
export type { WeightScheme } from './weight-scheme.ts'
