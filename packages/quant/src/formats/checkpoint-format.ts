import type { LinearRole } from '@octavo/core/model'
import type { EncodedTensor, GroupedSpec, GroupedWeight } from '@octavo/core/quantization'
import type { ActivationScheme, KvCacheScheme } from '../weight-scheme.ts'

/** A linear layer of the model that is saved. */
export interface SavedModule {
  readonly name: string
  readonly role: LinearRole
  /** `null`: saved as floats. */
  readonly weight: GroupedSpec | null
  readonly inputActivations: ActivationScheme | null
  /** Of e4m3 weights: rows that share their scales, those of a square block or all; else 1. */
  readonly sharedRows: SharedRows
}

export type SharedRows = number | 'all'

/** How quantized weights are stored: a layout of tensors, and what config.json says of it. */
export interface CheckpointFormat {
  readonly name: string
  /** Whether it says of a KV cache what its scales are. */
  readonly hasCacheScales: boolean
  /**
   * Called for every quantized module before anything is written.
   *
   * @throws QuantizationError naming the module, the value and the remedy, where the format can't hold it
   */
  check(module: SavedModule): void
  encode(weight: GroupedWeight, module: SavedModule): readonly EncodedTensor[]
  /** `quantization_config`; `modules` are all of the model, `cache` is for a layout that has such scales. */
  section(modules: readonly SavedModule[], cache: KvCacheScheme | null): Readonly<Record<string, unknown>>
}
