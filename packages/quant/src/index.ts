/** Quantization for Octavo: the public names of `@octavo/quant`, listed one by one. */
export { definePass } from './decoder-layer.ts'
export type { DecoderLayer, LayerModule, LayerPass, ModuleInput, SublayerInput, SublayerKind } from './decoder-layer.ts'
export type { WeightScheme } from './weight-scheme.ts'

export { convertCheckpoint } from './convert/convert-checkpoint.ts'
export type { Converted, ConvertOptions } from './convert/convert-checkpoint.ts'
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
export type { Metric } from './evaluate/answer-metrics.ts'
export type { DivergenceSummary, HistogramBin } from './evaluate/divergence.ts'
export type { Estimate } from './evaluate/estimate.ts'
export type { SpeedFigures } from './evaluate/measure-speed.ts'
export { formatEvaluation } from './evaluate/report/format-evaluation.ts'
export { evaluationHtml } from './evaluate/report/html-report.ts'
export { inspectModel } from './inspect/inspect-model.ts'
export type { MemoryFit, ModelInspection, Share } from './inspect/inspect-model.ts'
