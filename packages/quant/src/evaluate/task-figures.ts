import { type AnswerScore, scoreAnswer } from './answer-metrics.ts'
import { bootstrapValues, isWithin, wilsonEstimate } from './estimate.ts'
import type { TaskComparison, TaskFigures } from './evaluation.ts'
import type { TaskItem, TaskSet } from './task-set.ts'

/** Behind several sets comes one of all their items. */
export function withAll(sets: readonly TaskSet[]): readonly TaskSet[] {
  return sets.length < 2 ? sets : [...sets, { name: 'all', items: sets.flatMap(({ items }) => items) }]
}

/** What each text that a model gave is worth, item by item. */
export function scoreSet({ items }: TaskSet, texts: readonly string[]): AnswerScore[] {
  return items.map((item, i) => scoreAnswer(item, texts[i] ?? ''))
}

export function taskFigures({ name, items }: TaskSet, scores: readonly AnswerScore[], seed: number): TaskFigures {
  const numExact = scores.filter(({ isExact }) => isExact).length
  const exact = wilsonEstimate(numExact, items.length)
  const isShare = scores.every(({ score, isExact }) => score === (isExact ? 1 : 0))
  return {
    name,
    numItems: items.length,
    metric: commonMetric(items),
    score: isShare
      ? exact
      : bootstrapValues(
          scores.map(({ score }) => score),
          seed,
        ),
    exact,
  }
}

export function compareTask(
  original: TaskFigures,
  model: TaskFigures,
  { scores, originalScores, seed }: ComparedScores,
): TaskComparison {
  const differences = scores.map(({ score }, i) => score - (originalScores[i]?.score ?? NaN))
  return {
    name: model.name,
    difference: bootstrapValues(differences, seed),
    isWithinOriginal: isWithin(model.score.value, original.score),
  }
}

interface ComparedScores {
  readonly scores: readonly AnswerScore[]
  readonly originalScores: readonly AnswerScore[]
  readonly seed: number
}

function commonMetric(items: readonly TaskItem[]): TaskItem['metric'] | null {
  const [metric, ...others] = new Set(items.map((item) => item.metric))
  return others.length === 0 ? (metric ?? null) : null
}
