import type { DivergenceSummary } from './divergence.ts'
import type { Estimate } from './estimate.ts'
import type { SpeedFigures } from './measure-speed.ts'
import type { Metric } from './task-set.ts'

/** What an evaluation found: figures only, no prompt and no answer. All intervals are 95 %. */
export interface Evaluation {
  readonly settings: EvaluationSettings
  /** The original; where none was given, the one model that was evaluated. */
  readonly original: ModelFigures
  readonly models: readonly ComparedModel[]
}

export interface EvaluationSettings {
  readonly backend: string
  readonly seed: number
  readonly windowTokens: number
  readonly strideTokens: number
  readonly maxTextTokens: number
  readonly maxAnswerTokens: number
  readonly layerTokens: number
}

export interface ModelFigures {
  readonly model: string
  readonly weightBytes: number
  /** Of the checkpoint's files. */
  readonly fileBytes: number
  readonly texts: readonly TextFigures[]
  /** The sets, and behind several `all` of them. */
  readonly tasks: readonly TaskFigures[]
  readonly speed: SpeedFigures | null
}

export interface TextFigures {
  readonly name: string
  /** Those that are scored. */
  readonly numTokens: number
  readonly perplexity: Estimate
}

export interface TaskFigures {
  readonly name: string
  readonly numItems: number
  /** `null` where items have several. */
  readonly metric: Metric | null
  /** Mean by the items' metrics, from 0 to 1. */
  readonly score: Estimate
  /** Share of answers that are exactly right. */
  readonly exact: Estimate
}

export interface ComparedModel extends ModelFigures {
  /** Over each text, and over `answers`: the original's own answers to all items. */
  readonly divergences: readonly TextComparison[]
  readonly taskComparisons: readonly TaskComparison[]
  /** Of each decoder layer, given the original's input (`measureLayerErrors`). */
  readonly layerErrors: readonly number[] | null
}

export interface TextComparison {
  readonly name: string
  readonly divergence: DivergenceSummary
  /** Perplexity by that of the original, token by token: 1 is no change. */
  readonly perplexityRatio: Estimate
}

export interface TaskComparison {
  readonly name: string
  /** Score less the original's, item by item. */
  readonly difference: Estimate
  /** The model's score lies in the original's interval. */
  readonly isWithinOriginal: boolean
}

/** The name of the corpus of answers. */
export const answersCorpus = 'answers'
