/** Quantization for Octavo: the public names of `@octavo/quant`, listed one by one. */
export { definePass } from './decoder-layer.ts'
export type { DecoderLayer, LayerModule, LayerPass, ModuleInput, SublayerInput, SublayerKind } from './decoder-layer.ts'
export type { WeightScheme } from './weight-scheme.ts'

export { ggufFileTypeNames } from './gguf/gguf-file-type.ts'
export type { GgufFileType } from './gguf/gguf-file-type.ts'
export { quantizeRows } from './gguf/quantize-rows.ts'
export type { QuantizeRowsOptions } from './gguf/quantize-rows.ts'
export { writeGguf } from './gguf/write-gguf.ts'
export type { WriteGgufOptions, WrittenGguf } from './gguf/write-gguf.ts'
