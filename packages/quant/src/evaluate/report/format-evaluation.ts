import type { Evaluation } from '../evaluation.ts'
import { divergenceTable, number, summaryTable, type Table, taskTable } from './summary-table.ts'

/** As Markdown: for terminals, READMEs and pull requests. */
export function formatEvaluation(evaluation: Evaluation): string {
  const { models, original } = evaluation
  const errors = layerErrorTable(evaluation)
  return [
    markdownTable(summaryTable(evaluation)),
    ...(models.length > 0 ? [markdownTable(divergenceTable(evaluation))] : []),
    ...(original.tasks.length > 0 ? [markdownTable(taskTable(evaluation))] : []),
    ...(errors.rows.length > 0 ? [markdownTable(errors)] : []),
  ].join('\n\n')
}

/** A row per model, a column per layer. */
function layerErrorTable({ models }: Evaluation): Table {
  const measured = models.filter(({ layerErrors }) => layerErrors !== null)
  const numLayers = Math.max(0, ...measured.map(({ layerErrors }) => layerErrors?.length ?? 0))
  return {
    head: ['error of layer', ...Array.from({ length: numLayers }, (_, layer) => String(layer))],
    rows: measured.map(({ model, layerErrors }) => [model, ...(layerErrors ?? []).map(number)]),
  }
}

export function markdownTable({ head, rows }: Table): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')))
  const widths = head.map((_, column) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]): string =>
    `| ${widths.map((width, column) => (row[column] ?? '').padEnd(width)).join(' | ')} |`
  const [first = [], ...others] = cells
  return [line(first), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...others.map(line)].join('\n')
}
