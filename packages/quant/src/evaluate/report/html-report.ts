import { formatBytes } from '@octavo/core'
import type { ComparedModel, Evaluation } from '../evaluation.ts'
import { divergenceTable, number, summaryTable, type Table, taskTable } from './summary-table.ts'
import { escapeText, legendHtml, type Plot, plotSvg } from './svg-plot.ts'

const style = `
:root { color-scheme: light dark; --page: #fff; --ink: #1c1e21; --soft: #5c6370; --line: #d9dce1; --band: #f5f6f8;
  --series-0: #1f5fbf; --series-1: #c96a10; --series-2: #23806f; --series-3: #8a4fb5; --series-4: #b3303a; --series-5: #5d7a12; --series-6: #2a8fb8; --series-7: #6b6b6b }
@media (prefers-color-scheme: dark) { :root { --page: #16181c; --ink: #e6e8eb; --soft: #9aa2ae; --line: #343a43; --band: #1e2127;
  --series-0: #7fb0ff; --series-1: #f0a35e; --series-2: #63c7b2; --series-3: #c99bec; --series-4: #f07f88; --series-5: #b2d262; --series-6: #74cbee; --series-7: #b0b0b0 } }
body { margin: 0 auto; padding: 2rem 1rem; max-width: 72rem; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem } p { color: var(--soft); margin: .2rem 0 .8rem; max-width: 50rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap } th { color: var(--soft); font-weight: 600 }
tbody tr:nth-child(even) { background: var(--band) } svg { width: 100%; max-width: 45rem; height: auto; font-size: 12px }
svg text { fill: var(--ink) } svg .grid { stroke: var(--line); stroke-width: 1 }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; padding: 0; margin: .2rem 0; font-size: .87rem }
.legend i { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; border-radius: 2px; vertical-align: -1px }`

const mebi = 1024 ** 2

/** One file that needs no other, with figures only. */
export function evaluationHtml(evaluation: Evaluation): string {
  const { original, models } = evaluation
  const title =
    models.length === 0 ? original.model : `${models.map(({ model }) => model).join(', ')} against ${original.model}`
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escapeText(title)}</title><style>${style}</style></head><body>`,
    `<h1>${escapeText(title)}</h1>`,
    `<p>${escapeText(describeSettings(evaluation))}</p>`,
    tableHtml(summaryTable(evaluation)),
    ...sections(evaluation),
    '</body></html>\n',
  ].join('\n')
}

function sections(evaluation: Evaluation): string[] {
  const { original, models } = evaluation
  return [
    ...(models.length > 0 ? paretoSection(evaluation) : []),
    ...(models.length > 0
      ? [
          '<h2>Divergence from the original</h2>',
          '<p>KL(original ‖ model) in nats per token over the whole vocabulary; "answers" are the original\'s own to all items.</p>',
          tableHtml(divergenceTable(evaluation)),
          ...histograms(models),
        ]
      : []),
    ...(original.tasks.length > 0
      ? [
          '<h2>Tasks</h2>',
          "<p>Greedy answers. Shares have Wilson's interval, other means and differences (item by item) that of a bootstrap.</p>",
          tableHtml(taskTable(evaluation)),
        ]
      : []),
    ...layerSection(models),
  ]
}

/** Size against divergence, and where it was measured, speed against divergence: left and down is better. */
function paretoSection({ original, models }: Evaluation): string[] {
  const last = (models[0]?.divergences.length ?? 0) - 1
  const name = models[0]?.divergences[last]?.name ?? ''
  const klOf = ({ divergences }: ComparedModel): number => divergences[last]?.divergence.mean.value ?? NaN
  const y = { label: `KL, ${name} (mean)`, isLog: true }
  const sizes: Plot = {
    title: 'Size and divergence of each model',
    x: { label: 'weights, MiB', include: [original.weightBytes / mebi] },
    y,
    kind: 'points',
    series: models.map((model) => ({ name: model.model, points: [[model.weightBytes / mebi, klOf(model)]] })),
  }
  const speeds: Plot = {
    title: 'Speed and divergence of each model',
    x: { label: 'decode of one sequence, tokens per second', include: [original.speed?.decode1 ?? NaN] },
    y,
    kind: 'points',
    series: models.map((model) => ({ name: model.model, points: [[model.speed?.decode1 ?? NaN, klOf(model)]] })),
  }
  return [
    '<h2>Size, speed, quality</h2>',
    `<p>Each point is a model; lower is nearer to the original, whose weights take ${formatBytes(original.weightBytes)}${original.speed === null ? '' : ` and which decodes ${number(original.speed.decode1)} tokens per second`}.</p>`,
    plotSvg(sizes),
    ...(original.speed === null ? [] : [plotSvg(speeds)]),
  ]
}

function histograms(models: readonly ComparedModel[]): string[] {
  return (models[0]?.divergences ?? []).flatMap(({ name }, d) => {
    const plot: Plot = {
      title: `Distribution of the divergence over the tokens of ${name}`,
      x: { label: `KL of a token, ${name}`, isLog: true, format: (value) => value.toExponential(0) },
      y: { label: 'share of tokens, %', include: [0] },
      kind: 'steps',
      series: models.map(({ model, divergences }) => {
        const { histogram, numTokens } = divergences[d]?.divergence ?? { histogram: [], numTokens: 1 }
        return { name: model, points: histogram.map(({ low, count }) => [low, (100 * count) / numTokens]) }
      }),
    }
    return [legendHtml(models.map(({ model }) => model)), plotSvg(plot)]
  })
}

function layerSection(models: readonly ComparedModel[]): string[] {
  const measured = models.filter(({ layerErrors }) => layerErrors !== null)
  if (measured.length === 0) return []
  const plot: Plot = {
    title: 'Error of each decoder layer',
    x: { label: 'layer', format: String },
    y: { label: 'relative error', include: [0] },
    kind: 'lines',
    series: measured.map(({ model, layerErrors }) => ({
      name: model,
      points: (layerErrors ?? []).map((error, layer) => [layer, error]),
    })),
  }
  return [
    '<h2>Layers</h2>',
    "<p>How far a layer's output is from the original's for the original's input, as a share of what that layer adds to it.</p>",
    legendHtml(measured.map(({ model }) => model)),
    plotSvg(plot),
  ]
}

function describeSettings({ settings, original }: Evaluation): string {
  const { backend, windowTokens, strideTokens, maxTextTokens, seed } = settings
  const texts = `texts of up to ${maxTextTokens} tokens in windows of ${windowTokens}${strideTokens < windowTokens ? `, a stride of ${strideTokens}` : ''}`
  const numItems = original.tasks.at(-1)?.numItems ?? 0
  return `Octavo on backend ${backend}; ${numItems > 0 ? `${numItems} items; ` : ''}${texts}; intervals of 95 %, resampled with seed ${seed}.`
}

function tableHtml({ head, rows }: Table): string {
  const row = (cells: readonly string[], tag: 'th' | 'td'): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeText(cell)}</${tag}>`).join('')}</tr>`
  return `<div class="scroll"><table><thead>${row(head, 'th')}</thead><tbody>${rows.map((cells) => row(cells, 'td')).join('')}</tbody></table></div>`
}
