import type { RawDType } from '@octavo/core/loading'
import type { LinearRole } from '@octavo/core/model'
import type { GroupedSpec, GroupedWeight } from '@octavo/core/quantization'
import type { ActivationScheme } from '../weight-scheme.ts'

/** One tensor of a module as a layout stores it. */
export interface EncodedTensor {
  /** Behind the module's name and a dot: `weight_packed`. */
  readonly suffix: string
  readonly dtype: RawDType
  readonly shape: readonly number[]
  /** Little-endian, row-major. */
  readonly bytes: Uint8Array
}

/** A linear layer of the model that is saved. */
export interface SavedModule {
  readonly name: string
  readonly role: LinearRole
  /** `null`: saved as floats. */
  readonly weight: GroupedSpec | null
  readonly inputActivations: ActivationScheme | null
}

/** How quantized weights are stored: a layout of tensors, and what config.json says of it. */
export interface CheckpointFormat {
  readonly name: string
  /**
   * Called for every quantized module before anything is written.
   *
   * @throws QuantizationError naming the module, the value and the remedy, where the format can't hold it
   */
  check(module: SavedModule): void
  encode(weight: GroupedWeight, module: SavedModule): readonly EncodedTensor[]
  /** `quantization_config`; `modules` are all of the model. */
  section(modules: readonly SavedModule[]): Readonly<Record<string, unknown>>
}
