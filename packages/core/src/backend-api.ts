/** What a package that brings a backend needs of core besides the public names: `@octavo/core/backend`. */
export type {
  BackendOptions,
  BackendPack,
  BackendProbe,
  BackendProvider,
  MachineShare,
  WarmupPolicy,
} from './backends/backend-pack.ts'
export { wholeMachine } from './backends/backend-pack.ts'
export type { EngineModule } from './config/engine-module.ts'
export {
  BackendUnavailableError,
  CheckpointError,
  InsufficientMemoryError,
  InvalidConfigError,
  UnsupportedModelError,
} from './errors.ts'

export { allWeightFormats, isDense, rowBytes, weightFormats } from './tensor/dtype.ts'
export type { BlockFormat, WeightFormat } from './tensor/dtype.ts'
export { codeValues, columnGroups, numGroups, planesOf } from './tensor/grouped-format.ts'
export type {
  GroupedFormat,
  GroupedPlanes,
  GroupedSpec,
  GroupedWeight,
  PlaneLayout,
  PlaneName,
} from './tensor/grouped-format.ts'
export { describeFormat, isGrouped, weightBytes } from './tensor/packed-weight.ts'
export type { FillWeight, PackedFormat, PackedWeight, PackedWeightSpec, StoredRows } from './tensor/packed-weight.ts'
export { allKvDTypes, kvBytesPerToken } from './tensor/kv-storage.ts'
export type { KvDType, KvLayout, KvStorage } from './tensor/kv-storage.ts'

export { activationKernel } from './ops/activation.ts'
export type { ActivationAttrs, ActivationKind } from './ops/activation.ts'
export { attentionKernel, sequencesOf } from './ops/attention.ts'
export type { AttentionAttrs } from './ops/attention.ts'
export type { AttentionMetadata } from './ops/attention-metadata.ts'
export { embeddingKernel } from './ops/embedding.ts'
export type { EmbeddingAttrs } from './ops/embedding.ts'
export { gatedActivationKernel } from './ops/gated-activation.ts'
export type { FusedGatedKind as GatedActivationKind, GatedActivationAttrs } from './ops/gated-activation.ts'
export { gatedLinearKernel } from './ops/gated-linear.ts'
export type { GatedLinearAttrs } from './ops/gated-linear.ts'
export { kvWriteKernel } from './ops/kv-write.ts'
export type { KvWriteAttrs } from './ops/kv-write.ts'
export { gramKernel } from './ops/gram.ts'
export type { GramAttrs } from './ops/gram.ts'
export { inverseCholeskyKernel } from './ops/inverse-cholesky.ts'
export type { InverseCholeskyAttrs } from './ops/inverse-cholesky.ts'
export { layerNormKernel } from './ops/layer-norm.ts'
export type { LayerNormAttrs } from './ops/layer-norm.ts'
export { linearKernel } from './ops/linear.ts'
export type { LinearAttrs } from './ops/linear.ts'
export { linearPartsKernel } from './ops/linear-parts.ts'
export type { LinearPartsAttrs } from './ops/linear-parts.ts'
export { mapValuesKernel } from './ops/map-values.ts'
export type { MapValuesAttrs } from './ops/map-values.ts'
export { moeKernel } from './ops/moe.ts'
export type { MoeAttrs, MoeExpert } from './ops/moe.ts'
export { routeTokens } from './ops/moe-routing.ts'
export type { MoeRouting } from './ops/moe-routing.ts'
export { pagedAttentionKernel } from './ops/paged-attention.ts'
export type { PagedAttentionAttrs } from './ops/paged-attention.ts'
export { noTokenCodes, sample, sampleKernel } from './ops/sample.ts'
export type { NoToken, SampleAttrs, SampleRow, TokenDraw } from './ops/sample.ts'
export { addRmsNormKernel, rmsNormKernel } from './ops/rms-norm.ts'
export type { RmsNormAttrs } from './ops/rms-norm.ts'
export { rotaryEmbeddingKernel } from './ops/rotary-embedding.ts'
export type { RotaryEmbeddingAttrs } from './ops/rotary-embedding.ts'

// The host's sampler, which a `sample` kernel must agree with, token for token.
export { drawToken } from './sampling/draw-token.ts'
export { createSamplingState, describeDraw } from './sampling/sampling-state.ts'
export type { SamplingState, SamplingStateOptions } from './sampling/sampling-state.ts'

export { assert } from './util/assert.ts'
export { availableMemory } from './util/available-memory.ts'
