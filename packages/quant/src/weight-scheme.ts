/** How a module's weight is to be stored; the terms are those of compressed-tensors' `QuantizationArgs`. */
export interface WeightScheme {
  /** Of a code. Integers: 2 to 8; floats: 4 (e2m1) or 8 (e4m3). */
  readonly numBits: number
  readonly type: 'int' | 'float'
  /** Whether codes lie around zero; else each scale has a zero point. Floats are symmetric. */
  readonly isSymmetric: boolean
  /** What shares a scale: the whole matrix, a row, `groupSize` neighbours of a row, a block of rows and columns. */
  readonly strategy: 'tensor' | 'channel' | 'group' | 'block'
  /** Columns of a group; `null` for other strategies. */
  readonly groupSize: number | null
  /** Of a block; `null` for other strategies. */
  readonly blockShape: readonly [rows: number, cols: number] | null
  /** What scales are stored in; 'e8m0' and 'e4m3' are those of MX and NVFP4. */
  readonly scaleDtype: 'float32' | 'float16' | 'bfloat16' | 'e8m0' | 'e4m3'
  /** How scales are found: from the extremes, or by the least squared error among ranges that are cut. */
  readonly observer: 'minmax' | 'mse'
}

/** How whoever runs the saved model may round keys and values, to 8 bits: integers, or floats (e4m3). */
export interface KvCacheScheme {
  readonly type: 'int' | 'float'
  /** What shares a scale: all keys of a layer and all its values, or those of a head. */
  readonly strategy: 'tensor' | 'head'
}

/** How inputs of quantized modules are rounded when the model runs; compressed-tensors' `input_activations`. */
export interface ActivationScheme {
  readonly numBits: number
  readonly type: 'int' | 'float'
  readonly isSymmetric: boolean
  /** What shares a scale: everything, each token's row, or `groupSize` neighbours of it. */
  readonly strategy: 'tensor' | 'token' | 'group' | 'tensor_group'
  readonly groupSize: number | null
  /** Scales found for each input; `'local'`: those of groups only; else stored with the weights. */
  readonly isDynamic: boolean | 'local'
}
