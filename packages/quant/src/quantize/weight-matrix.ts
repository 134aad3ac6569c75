import type { LayerModule } from '../decoder-layer.ts'

/** A weight to be quantized; what is made of it never changes `values`. */
export interface WeightMatrix {
  readonly values: Float32Array // [rows, cols]
  readonly rows: number
  readonly cols: number
}

export function matrixOf(module: LayerModule): WeightMatrix {
  return { values: module.weight(), rows: module.rows, cols: module.cols }
}
