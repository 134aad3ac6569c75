/** Quantized weights: how they lie in memory, and the layouts in which checkpoints store them: `@octavo/core/quantization`. */
export {
  checkGroupedFormat,
  codeValues,
  columnGroups,
  createGroupedReader,
  describeGrouped,
  groupedFormat,
  numGroups,
  planesOf,
} from './tensor/grouped-format.ts'
export { float16ToFloat32, float32ToFloat16 } from './tensor/narrow-floats.ts'
export type {
  Codebook,
  GroupedFormat,
  GroupedPlanes,
  GroupedSpec,
  GroupedWeight,
  PlaneLayout,
  PlaneName,
  ReadRow,
} from './tensor/grouped-format.ts'
export { QuantizationError } from './errors.ts'

export { createSchemeMethods } from './quantization/grouped-method.ts'
export { createQuantizationScheme } from './quantization/create-quantization-scheme.ts'
export type { QuantizationScheme } from './quantization/quantization-scheme.ts'
export { createModulePattern, createPatternBudget } from './quantization/module-pattern.ts'
export type { ModulePattern, PatternBudget, PatternOptions } from './quantization/module-pattern.ts'
export { readGrouped } from './quantization/load-grouped.ts'
export type { GroupedTensors, PlaneReader, PlaneTarget, Region } from './quantization/grouped-tensors.ts'
export type { EncodedTensor } from './quantization/encoded-tensor.ts'
export { awqMismatch, encodeAwq } from './quantization/awq-layout.ts'
export { encodeGptq, gptqMismatch } from './quantization/gptq-layout.ts'
export type { GptqVersion } from './quantization/gptq-layout.ts'
export { encodeMxfp4, encodeNvfp4, mxfp4Mismatch, nvfp4Mismatch } from './quantization/float4-layout.ts'
export type { Nvfp4Layout } from './quantization/float4-layout.ts'
export { encodeFloat8, float8Mismatch } from './quantization/float8-layout.ts'
export type { Float8Layout } from './quantization/float8-layout.ts'
export { encodeIntQuantized, intQuantizedMismatch } from './quantization/int-quantized-layout.ts'
export { encodePackQuantized, packQuantizedMismatch } from './quantization/pack-quantized-layout.ts'
export { encodeMxfp4Experts } from './quantization/float4-layout.ts'
export { findQuantization } from './loading/quantization-section.ts'
export type { QuantizationSection } from './loading/quantization-section.ts'
