/**
 * Octavo beside other engines on the same model in the same run: `npm run bench -- compare`. README.md has the flags.
 *
 * Models have real shapes and random weights. Each engine runs in a process of its own.
 */
import path from 'node:path'
import { createReport, writeReport } from './src/bench-report.ts'
import { type CompareOptions, parseCompareOptions } from './src/compare-options.ts'
import { installPeers } from './src/install-peers.ts'
import type { BenchModel } from './src/limit-share.ts'
import { ModelFiles } from './src/model-files.ts'
import { runServing } from './src/run-serving.ts'
import { runSpeed } from './src/run-speed.ts'

// An end by a signal is an end, too: models are gigabytes.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))

const folder = import.meta.dirname
const options = parseCompareOptions(process.argv.slice(2))
if (options.engines.some(({ peer }) => peer !== null)) installPeers(path.join(folder, 'peers'))

for (const shape of options.shapes) for (const format of options.formats) await measure({ shape, format }, options)

async function measure(model: BenchModel, options: CompareOptions): Promise<void> {
  const { threads, numRounds, hasSpeed, hasServing, speedPlan, servingPlan } = options
  const name = `${model.shape.name}-${model.format}`
  console.error(`${name}: writes the model`)
  using files = new ModelFiles(model)
  const engines = options.engines.filter(({ formats }) => formats.includes(model.format))
  for (const { model: kind } of engines) files.pathOf(kind)
  const servers = engines.filter(({ canServe }) => canServe)
  const speed = hasSpeed ? await runSpeed({ engines, files, threads, plan: speedPlan, numRounds }) : null
  const serving = hasServing ? await runServing({ engines: servers, files, threads, plan: servingPlan }) : null
  const report = createReport({ model, fileBytes: files.ggufBytes, threads, engines, speed, serving })
  console.log(`\n${report.markdown}\n`)
  const part = hasSpeed && hasServing ? '' : hasSpeed ? '-speed' : '-serving'
  for (const file of writeReport(options.resultsFolder, `${name}${part}`, report)) console.error(`wrote ${file}`)
  if (speed?.failures.length || serving?.failures.length) process.exitCode = 1
}
