// docs/{configuration,engine-options,evaluation-options,quantization-options,environment,endpoints,models}.md, written from the tables in the sources; --check says whether they
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
  'configuration.md': configuration(),
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

Those of \`octavo serve\` itself, and the ways to set all: [configuration.md](configuration.md).
`
}

function configuration() {
  const { model, ...engine } = engineOptionTable
  const table = { ...serveOptionTable, model, ...engine, ...backendOptionTable, ...parallelOptionTable }
  const groups = Map.groupBy(Object.entries(table), ([, { group }]) => group)
  const sections = [...groups].map(([group, rows]) => {
    const lines = rows.map(([name, row]) => {
      const flag = name === 'model' ? 'the argument' : flagCell(name, row)
      const cells = [`\`${flagOf(name).slice(2)}\``, flag, `\`${variableOf(name)}\``, shownDefault(row), row.doc]
      return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
    })
    return `## ${group}\n\n${['| in a file | flag | variable | default | |', '|---|---|---|---|---|', ...lines].join('\n')}`
  })
  return `${origin}

# Configuration of \`octavo serve\`

One table of options, and three ways to set each. A flag goes before a variable, a variable before the file that \`--config\` or \`OCTAVO_CONFIG\` names, and that before
the default. What is set, and by what, is what the server says when it begins to serve; secrets are hidden there and everywhere else.

\`\`\`yaml
# octavo.yaml: octavo serve --config octavo.yaml
model: Qwen/Qwen3-0.6B
port: 9000
max-num-seqs: 32
api-key-file: /etc/octavo/keys.yaml
allowed-origins: [https://chat.example]
\`\`\`

- Keys of the file are the names of flags, with \`-\` or \`_\` between the words. One that is none is an error that names the nearest, as is a wrong value, with the place
  where it stands. JSON is YAML, too.
- A variable that is empty is not set. Switches are \`true\` or \`false\`; several names stand between commas, or in lines of their own, and keys in lines alone. A variable
  that begins with \`OCTAVO_\` and is no option is warned of; what Kubernetes sets for a service named octavo (\`OCTAVO_PORT=tcp://…\`) counts for nothing, and
  \`enableServiceLinks: false\` leaves it out.
- Flags of a running program can be read by everyone on the machine: keys belong in a variable or a file.
- Files of keys and certificates are looked at every two seconds and at SIGHUP, and taken when they changed. If they are wrong, what was there before stays, and the log says so.
- \`octavo run\` and \`chat\` take the variables of **model**, **device**, **cache**, **scheduler** and **parallel**, and no file.

Several models in one server, each with options of its own beside those of all (\`model\` is left out then; a flag or variable holds for all):

\`\`\`yaml
kv-cache-memory: 2GiB
models:
  - model: Qwen/Qwen3-0.6B
    served-model-name: small
  - model: ./large.gguf
    served-model-name: large
    max-num-seqs: 8
\`\`\`

They are loaded one after the other, and a share of memory is one of what is free then.

${sections.join('\n\n')}
`
}

function shownDefault({ default: value, otherwise }) {
  return value === null ? (otherwise ?? 'must be given') : `\`${value}\``
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
