import { formatBytes } from '@octavo/core'
import type { ComparedModel, Evaluation, ModelFigures } from '../evaluation.ts'
import type { Estimate } from '../estimate.ts'

/** A table as text, for Markdown and HTML alike. */
export interface Table {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

interface Column {
  readonly label: string
  readonly cell: (model: ModelFigures | ComparedModel) => string
}

/** A row per model, the original first: what it takes, how fast it is, how far it is from the original. */
export function summaryTable({ original, models }: Evaluation): Table {
  const columns = [
    ...(models.length > 0 ? divergenceColumns(models) : []),
    ...perplexityColumns(original),
    ...taskColumns(original),
    ...(original.speed === null ? [] : speedColumns),
  ]
  const cells = (model: ModelFigures | ComparedModel): string[] => columns.map(({ cell }) => cell(model))
  return {
    head: ['model', 'weights', ...columns.map(({ label }) => label)],
    rows: [original, ...models].map((model) => [model.model, formatBytes(model.weightBytes), ...cells(model)]),
  }
}

/** A row per set of tasks and model: score, interval, difference item by item, verdict. */
export function taskTable({ original, models }: Evaluation): Table {
  const rows = original.tasks.flatMap((task, t) => [
    [task.name, String(task.numItems), original.model, percent(task.score), percent(task.exact), '', ''],
    ...models.map(({ model, tasks, taskComparisons }) => {
      const mine = tasks[t]
      const comparison = taskComparisons[t]
      return [
        task.name,
        String(task.numItems),
        model,
        mine === undefined ? '' : percent(mine.score),
        mine === undefined ? '' : percent(mine.exact),
        comparison === undefined ? '' : signedPercent(comparison.difference),
        comparison === undefined ? '' : comparison.isWithinOriginal ? 'within the interval' : 'outside the interval',
      ]
    }),
  ])
  return { head: ['set', 'items', 'model', 'score, %', 'exact, %', 'difference, points', 'of the original'], rows }
}

/** A row per text and model. */
export function divergenceTable({ models }: Evaluation): Table {
  return {
    head: ['text', 'tokens', 'model', 'KL mean', 'p50', 'p99', 'max', 'same top token, %', 'perplexity ratio'],
    rows: models.flatMap(({ model, divergences }) =>
      divergences.map(({ name, divergence, perplexityRatio }) => [
        name,
        String(divergence.numTokens),
        model,
        interval(divergence.mean, number),
        number(divergence.p50),
        number(divergence.p99),
        number(divergence.max),
        percent(divergence.top1Agreement),
        interval(perplexityRatio, (value) => value.toFixed(4)),
      ]),
    ),
  }
}

function divergenceColumns(models: readonly ComparedModel[]): Column[] {
  return (models[0]?.divergences ?? []).map(({ name }, d) => ({
    label: `KL, ${name}`,
    cell: (model) => {
      const found = 'divergences' in model ? model.divergences[d] : undefined
      return found === undefined ? '0' : interval(found.divergence.mean, number)
    },
  }))
}

function perplexityColumns({ texts }: ModelFigures): Column[] {
  return texts.map(({ name }, t) => ({
    label: `perplexity, ${name}`,
    cell: ({ texts: mine }) => number(mine[t]?.perplexity.value ?? NaN),
  }))
}

/** Of the last set alone: of several it is all of them. */
function taskColumns({ tasks }: ModelFigures): Column[] {
  const last = tasks.length - 1
  if (last < 0) return []
  return [{ label: 'tasks, %', cell: ({ tasks: mine }) => (mine[last] === undefined ? '' : percent(mine[last].score)) }]
}

const speedColumns: readonly Column[] = [
  { label: 'prefill, tok/s', cell: ({ speed }) => rate(speed?.prefill) },
  { label: 'decode, tok/s', cell: ({ speed }) => rate(speed?.decode1) },
  { label: 'decode 16, tok/s', cell: ({ speed }) => rate(speed?.decode16) },
  { label: 'RSS', cell: ({ speed }) => (speed === null ? '' : formatBytes(speed.rssBytes)) },
]

export function interval({ value, low, high }: Estimate, format: (value: number) => string): string {
  return `${format(value)} (${format(low)} to ${format(high)})`
}

export function percent(estimate: Estimate): string {
  return interval(estimate, (value) => (100 * value).toFixed(1))
}

function signedPercent(estimate: Estimate): string {
  return interval(estimate, (value) => `${value > 0 ? '+' : ''}${(100 * value).toFixed(2)}`)
}

/** Three digits that count. */
export function number(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  if (size >= 1e5 || size < 1e-3) return value.toExponential(2)
  return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size))))
}

function rate(value: number | undefined): string {
  return value === undefined ? '' : value.toFixed(value < 100 ? 1 : 0)
}
