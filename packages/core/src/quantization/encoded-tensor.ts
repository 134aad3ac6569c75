import type { RawDType } from '../loading/raw-tensor.ts'

/** One tensor of a module as its layout stores it. */
export interface EncodedTensor {
  /** Behind the module's name and a dot: `qweight`. */
  readonly suffix: string
  readonly dtype: RawDType
  readonly shape: readonly number[]
  /** Little-endian, row-major. */
  readonly bytes: Uint8Array
}
