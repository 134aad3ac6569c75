/** Quantized weights: how they lie in memory, and the layouts in which checkpoints store them: `@octavo/core/quantization`. */
export {
  checkGroupedFormat,
  codeValues,
  columnGroups,
  createGroupedReader,
  describeGrouped,
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
