/** What a model of one's own, its layers and its linear methods are made of: `@octavo/core/model`. */
export type { ArchitectureConfig } from './config/architectures.ts'
export { parseModelConfig } from './config/model-config.ts'
export type { ModelActivation } from './config/activation.ts'
export type { ModelHead } from './config/architectures.ts'
export type { EncoderConfig } from './config/encoder-config.ts'
export type { ModelPooling } from './config/model-pooling.ts'
export type {
  ClassifierActivation,
  ClassifierConfig,
  DenseConfig,
  PoolingConfig,
  PoolingType,
} from './config/pooling-config.ts'
export type { LayerType, ModelConfig, MoeConfig } from './config/model-config.ts'
export type { RopeConfig, RopeScaling } from './config/rope-config.ts'

export type {
  CausalLM,
  KvShape,
  LayerRange,
  LoadModelContext,
  ModelDefinition,
  PoolingHead,
  PoolingHeads,
} from './models/model.ts'
export { getModelDefinition } from './models/registry.ts'
export { defineDecoder, loadDecoder } from './models/decoder.ts'
export type { ClassifierDesign, DenseDesign } from './models/classifier-design.ts'
export { createBlock, createNorm, runBlock } from './models/decoder-block.ts'
export type { BlockContext, DecoderBlock, Stream } from './models/decoder-block.ts'
export { resolveNames, stageLayout } from './models/weight-names.ts'
export type { StageTensors, WeightNames } from './models/weight-names.ts'
export { expertKind, gatedMlp, llamaDesign, moeMlp } from './models/decoder-design.ts'
export type {
  AttentionDesign,
  BlockNorms,
  DecoderDesign,
  MlpDesign,
  MoeDesign,
  NormDesign,
} from './models/decoder-design.ts'

export { createAttention } from './layers/attention.ts'
export type { Attention, AttentionOptions } from './layers/attention.ts'
export { singleRank } from './layers/communicator.ts'
export type { Communicator } from './layers/communicator.ts'
export { ExpertBalance } from './layers/expert-balance.ts'
export type { ExpertBalanceReport } from './layers/expert-balance.ts'
export { createEmbedding, createLmHead, createTiedLmHead } from './layers/embedding.ts'
export type { Embedding, EmbeddingOptions } from './layers/embedding.ts'
export type { ForwardContext } from './layers/forward-context.ts'
export { createGatedMlp } from './layers/gated-mlp.ts'
export type { GatedMlpOptions } from './layers/gated-mlp.ts'
export {
  createColumnLinear,
  createMergedLinear,
  createQkvLinear,
  createReplicatedLinear,
  createRowLinear,
} from './layers/linear.ts'
export type {
  Linear,
  LinearOptions,
  MergedLinear,
  MergedLinearOptions,
  QkvLinearOptions,
  ShardedLinearOptions,
} from './layers/linear.ts'
export {
  createLoadedLinear,
  createPackedEmbedding,
  createPackedLinear,
  moduleOf,
  planeNames,
  unquantized,
  unquantizedMethods,
} from './layers/linear-method.ts'
export type {
  GatedApplyOptions,
  LinearMethod,
  LinearMethods,
  LinearRole,
  LoadedEmbedding,
  LoadedLinear,
  MethodLoader,
  PartsApplyOptions,
} from './layers/linear-method.ts'
export { createMlp } from './layers/mlp.ts'
export type { Mlp, PlainMlpOptions } from './layers/mlp.ts'
export { createMoe } from './layers/moe.ts'
export type { ExpertNames, MoeOptions } from './layers/moe.ts'
export { createLayerNorm, createRmsNorm } from './layers/norm.ts'
export type { Norm, NormOptions, RmsNormOptions } from './layers/norm.ts'
export type { QkNormOptions } from './layers/qk-norm.ts'
export { RotaryEmbedding } from './layers/rotary-embedding.ts'
export type { RopeRows } from './layers/rotary-embedding.ts'
export { columnUnit, shardInnerFeatures, shardRange, shareHeads } from './layers/shard.ts'
export type { HeadShare, InnerFeatures, ShardOptions } from './layers/shard.ts'
export { WeightLoader } from './layers/weight-loader.ts'
export type { WeightLoaderOptions } from './layers/weight-loader.ts'

// What a layer or a method meets of weights.
export type { MatrixSelection } from './loading/matrix-parts.ts'
export type { UnusedWeights } from './loading/unused-weights.ts'
export type { RowRange, WeightSource } from './loading/weight-source.ts'
export type { WeightLayout, WeightView } from './loading/weight-view.ts'
export { weightFormats } from './tensor/dtype.ts'
export type { DType, WeightFormat } from './tensor/dtype.ts'
export { codeValues, numGroups, planesOf } from './tensor/grouped-format.ts'
export type {
  GroupedFormat,
  GroupedPlanes,
  GroupedSpec,
  GroupedWeight,
  PlaneLayout,
  PlaneName,
} from './tensor/grouped-format.ts'
export type { FillWeight, PackedFormat, PackedWeight, PackedWeightSpec, StoredRows } from './tensor/packed-weight.ts'

// What a module of kind `linear-methods` exports.
export type { CreateLinearMethods, LinearMethodsContext } from './engine/worker-modules.ts'

export { resolvePooling } from './engine/resolve-pooling.ts'
export type { PoolingOptions } from './engine/resolve-pooling.ts'

// A model without an engine, whole or in stages.
export { openModel } from './engine/open-model.ts'
export type { OpenedModel, OpenModelOptions } from './engine/open-model.ts'
