/** Quantization for Octavo: the public names of `@octavo/quant`, listed one by one. */
export { pipeline } from './pipeline/pipeline.ts'
export type { Pipeline } from './pipeline/pipeline.ts'
export { pipelineOptionTable, saveOptionTable } from './pipeline/pipeline-options.ts'
export type { PipelineOptions, SaveOptions } from './pipeline/pipeline-options.ts'
export type { QuantizationProgress } from './pipeline/progress.ts'
export type { SaveReport } from './pipeline/run-pipeline.ts'
export { calibrationOptionTable } from './calibration/calibration-options.ts'
export type { CalibrationOptions, CalibrationSample } from './calibration/calibration-options.ts'
export { parseRecipe, parseRecipeText } from './recipe/parse-recipe.ts'
export { methodOptionTable } from './recipe/method-options.ts'
export type { MethodOptions } from './recipe/method-options.ts'
export { methodRecipe } from './recipe/method-recipe.ts'
export type { Recipe } from './recipe/recipe.ts'
export { schemePresets } from './recipe/schemes.ts'
export type { QuantizationScheme, SchemeName } from './recipe/schemes.ts'
export type { SavedModule } from './formats/checkpoint-format.ts'

export { definePass } from './decoder-layer.ts'
export type {
  CacheRows,
  CacheScales,
  DecoderLayer,
  LayerModule,
  LayerPass,
  ModuleInput,
  SublayerInput,
  SublayerKind,
} from './decoder-layer.ts'
export { createModuleSelector } from './module-selector.ts'
export type { ModuleSelection, SelectsModule } from './module-selector.ts'
export type { ActivationScheme, KvCacheScheme, WeightScheme } from './weight-scheme.ts'

export { convertCheckpoint } from './convert/convert-checkpoint.ts'
export type { Converted, ConvertOptions } from './convert/convert-checkpoint.ts'
export { autoRound } from './quantize/auto-round-pass.ts'
export type { AutoRoundPassOptions } from './quantize/auto-round-pass.ts'
export { quantizeByAutoRound } from './quantize/auto-round.ts'
export type { AutoRoundOptions, AutoRoundResult } from './quantize/auto-round.ts'
export { chooseBits } from './quantize/choose-bits.ts'
export type { BitsBudget, BitsChoice, ModuleChoices } from './quantize/choose-bits.ts'
export { columnOrders } from './quantize/column-order.ts'
export type { ColumnOrder } from './quantize/column-order.ts'
export { gptq } from './quantize/gptq-pass.ts'
export type { GptqPassOptions } from './quantize/gptq-pass.ts'
export { quantizeByGptq } from './quantize/gptq.ts'
export type { GptqOptions, GptqResult } from './quantize/gptq.ts'
export { kvCacheScales } from './quantize/kv-cache-scales-pass.ts'
export type { KvCacheScalesOptions } from './quantize/kv-cache-scales-pass.ts'
export { mixedBits } from './quantize/mixed-bits-pass.ts'
export type { MixedBitsOptions } from './quantize/mixed-bits-pass.ts'
export type { QuantizingOptions } from './quantize/pass-options.ts'
export { roundToNearest } from './quantize/round-to-nearest-pass.ts'
export { quantizeToNearest } from './quantize/round-to-nearest.ts'
export { resolveScheme } from './quantize/scheme-options.ts'
export type { SchemeOptions } from './quantize/scheme-options.ts'
export type { SolvingOptions } from './quantize/solve-layer.ts'
export type { WeightMatrix } from './quantize/weight-matrix.ts'
export { awq, awqTransform } from './transform/awq.ts'
export type { AwqOptions } from './transform/awq.ts'
export type { DuoScaling } from './transform/awq-scales.ts'
export type { SmoothMapping } from './transform/choose-places.ts'
export { logEqualization, smoothQuant } from './transform/smooth-quant.ts'
export type { EqualizationOptions, SmoothQuantOptions } from './transform/smooth-quant.ts'
export { ggufFileTypeNames } from './gguf/gguf-file-type.ts'
export type { GgufFileType } from './gguf/gguf-file-type.ts'
export { quantizeRows } from './gguf/quantize-rows.ts'
export type { QuantizeRowsOptions } from './gguf/quantize-rows.ts'
export { writeGguf } from './gguf/write-gguf.ts'
export type { WriteGgufOptions, WrittenGguf } from './gguf/write-gguf.ts'
export { evaluate } from './evaluate/evaluate.ts'
export { evaluateOptionTable } from './evaluate/evaluate-option-table.ts'
export type { EvaluateOptions } from './evaluate/evaluate-options.ts'
export { answersCorpus } from './evaluate/evaluation.ts'
export type {
  ComparedModel,
  Evaluation,
  EvaluationSettings,
  ModelFigures,
  TaskComparison,
  TaskFigures,
  TextComparison,
  TextFigures,
} from './evaluate/evaluation.ts'
export type { DivergenceSummary, HistogramBin } from './evaluate/divergence.ts'
export type { Estimate } from './evaluate/estimate.ts'
export type { Metric } from './evaluate/task-set.ts'
export type { SpeedFigures } from './evaluate/measure-speed.ts'
export { formatEvaluation } from './evaluate/report/format-evaluation.ts'
export { evaluationHtml } from './evaluate/report/html-report.ts'
export { inspectModel } from './inspect/inspect-model.ts'
export type { MemoryFit, ModelInspection, Share } from './inspect/inspect-model.ts'
