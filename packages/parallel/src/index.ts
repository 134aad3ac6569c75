/** One model over many ranks: the public names of `@octavo/parallel`, listed one by one. */
export { layerCosts, resolveLayerRanges } from './layer-ranges.ts'
export type { LayerCosts, LayerRangeOptions } from './layer-ranges.ts'
export type { ReduceOp } from './process-group.ts'
