// docs/{engine-options,evaluation-options,quantization-options,environment,endpoints,models}.md, written from the tables in the sources; --check says whether they
// are current. Sources run as they are (type stripping); the command's tables import types only.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { backendOptionTable } from '../packages/cli/src/flags/backend-options.ts'
import { serveOptionTable } from '../packages/cli/src/flags/serve-options.ts'
import { variableOf } from '../packages/cli/src/config/variable-of.ts'
import { nativeEnvironmentTable } from '../packages/backend-native/src/native-env.ts'
import { engineOptionTable } from '../packages/core/src/config/engine-options.ts'
import { environmentTable } from '../packages/core/src/config/env.ts'
import { describeType, flagOf } from '../packages/core/src/config/option-table.ts'
import { parallelOptionTable } from '../packages/parallel/src/parallel-option-table.ts'
import { parallelEnvironmentTable } from '../packages/parallel/src/parallel-env.ts'
import { quantizeOptionTable } from '../packages/cli/src/flags/quantize-options.ts'
import { calibrationOptionTable } from '../packages/quant/src/calibration/calibration-options.ts'
import { evaluateOptionTable } from '../packages/quant/src/evaluate/evaluate-option-table.ts'
import { pipelineOptionTable, saveOptionTable } from '../packages/quant/src/pipeline/pipeline-options.ts'
import { methodOptionTable } from '../packages/quant/src/recipe/method-options.ts'
import { endpointsPage } from './docs/endpoints.mjs'
import { modelsPage } from './docs/models.mjs'

const docs = path.join(import.meta.dirname, '..', 'docs')
const origin = '<!-- Written by scripts/write-docs.mjs from the tables in the sources. -->'

const pages = {
  'engine-options.md': engineOptions(),
  'evaluation-options.md': evaluationOptions(),
  'quantization-options.md': quantizationOptions(),
  'environment.md': environment(),
  'endpoints.md': endpointsPage(origin),
  'models.md': modelsPage(origin),
}

let numStale = 0
for (const [name, text] of Object.entries(pages)) {
  const file = path.join(docs, name)
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
  if (process.argv.includes('--check')) {
    numStale++
    console.error(`docs/${name} is not what the tables say; run: node scripts/write-docs.mjs`)
  } else writeFileSync(file, text)
}
process.exitCode = numStale === 0 ? 0 : 1

function engineOptions() {
  const groups = Map.groupBy(Object.entries(engineOptionTable), ([, { group }]) => group)
  const sections = [...groups].map(([group, rows]) => `## ${group}\n\n${optionTable(rows)}`)
  return `${origin}

# Engine options

What \`LLM.load(model, options)\` and \`AsyncEngine.create(options)\` take, by the names of vLLM's engine arguments. \`octavo serve\`,
\`run\` and \`chat\` have the same as flags, but for \`model\`, which is their first argument, and those of **serving**, which
\`serve\` alone has. An unknown option is an error, as is a value out of its range, before any file is read.

${sections.join('\n\n')}

## parallel

Of \`octavo serve\`, \`run\` and \`chat\`; in a program of the package \`octavo\`: \`LLM.load(model, { parallel: { tp: 2 } })\` ([parallel.md](parallel.md)).

${optionTable(Object.entries(parallelOptionTable))}

## Of the command alone

${optionTable(Object.entries(backendOptionTable))}

In a program: \`nativeBackendWith({ threads })\`.

Of \`octavo serve\`:

${optionTable(Object.entries(serveOptionTable))}
`
}

function quantizationOptions() {
  return `${origin}

# Options of a quantization

Of \`octavo quantize MODEL\` as flags, and of \`@octavo/quant\` ([quantization.md](quantization.md)). The command also has \`--threads\`.

## Of the command alone

${optionTable(Object.entries(quantizeOptionTable))}

## \`methodRecipe(options)\`, in place of a recipe

${optionTable(Object.entries(methodOptionTable))}

## \`calibration\` of \`pipeline(model, options)\`, beside its \`data\`

${optionTable(Object.entries(calibrationOptionTable))}

## \`pipeline(model, options)\`

${optionTable(Object.entries(pipelineOptionTable))}

## \`save(folder, options)\`

${optionTable(Object.entries(saveOptionTable))}
`
}

function evaluationOptions() {
  return `${origin}

# Options of an evaluation

What \`evaluate({ models, ...options })\` of \`@octavo/quant\` takes, and \`octavo evaluate MODELS\` as flags ([quantization.md](quantization.md#evaluating)).
The command also has \`--backend\`, \`--threads\`, \`--json FILE\` and \`--html FILE\`.

${optionTable(Object.entries(evaluateOptionTable))}
`
}

function optionTable(rows) {
  const lines = rows.map(([name, row]) => {
    const cells = [`\`${name}\``, flagCell(name, row), valueCell(row), defaultCell(row), row.doc]
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  })
  return ['| option | flag | value | default | |', '|---|---|---|---|---|', ...lines].join('\n')
}

function flagCell(name, { type, default: value, short }) {
  if (name === 'model') return 'the first argument'
  const canBeOff = type.kind === 'boolean' ? value !== false : type.choices?.includes(false)
  const flag = canBeOff ? flagOf(name).replace('--', '--[no-]') : flagOf(name)
  return `\`${flag}\`${short === undefined ? '' : `, \`${short}\``}`
}

function valueCell({ type, unit }) {
  return unit === undefined ? describeType(type) : `${describeType(type)}, ${unit}`
}

function defaultCell({ default: value, otherwise, env }) {
  const shown = value === null ? (otherwise ?? 'must be given') : `\`${value}\``
  return env === undefined ? shown : `\`${env}\`, else ${shown}`
}

function environment() {
  const sections = [
    ['Everywhere', environmentTable],
    ['The native backend', nativeEnvironmentTable],
    ['Several ranks', parallelEnvironmentTable],
  ].map(([title, table]) => {
    const lines = Object.entries(table).map(([name, doc]) => `| \`${name}\` | ${doc} |`)
    return `## ${title}\n\n${['| variable | |', '|---|---|', ...lines].join('\n')}`
  })
  return `${origin}

# Environment variables

All that Octavo reads. An option of a program or a flag of the command goes before its variable; empty is not set, unless said.

${sections.join('\n\n')}

## The command

Every option of \`octavo serve\` has a variable, of which those of the engine hold for \`run\` and \`chat\` too: \`OCTAVO_\` and the name in capitals,
such as \`OCTAVO_MAX_NUM_SEQS\` ([configuration.md](configuration.md)).
`
}
