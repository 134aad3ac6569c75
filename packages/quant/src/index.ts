/** Quantization for Octavo: the public names of `@octavo/quant`, listed one by one. */
export type { DecoderLayer, LayerModule, LayerPass, ModuleInput } from './decoder-layer.ts'
export type { WeightScheme } from './weight-scheme.ts'
