import { formatBytes } from '@octavo/core'
import { locateModel } from '@octavo/core/loading'
import { inspectModel, type ModelInspection, type Share } from '@octavo/quant'
import type { Command } from 'commander'
import { ProgressBar } from '../ui/progress-bar.ts'

interface InspectFlags {
  readonly json?: boolean
  readonly revision: string
}

export function addInspectCommand(program: Command): void {
  program
    .command('inspect')
    .description('show what a model is, what it takes and whether it fits, without loading it')
    .argument('<model>', 'a Hugging Face repo id, a folder, a .gguf file, or octavo-tiny')
    .option('--json', 'as JSON')
    .option('--revision <revision>', 'branch, tag or commit of the Hugging Face repository', 'main')
    .action(async (model: string, flags: InspectFlags) => {
      const inspection = await inspect(model, flags)
      process.stdout.write(flags.json === true ? `${JSON.stringify(inspection, null, 2)}\n` : format(model, inspection))
    })
}

async function inspect(model: string, { revision }: InspectFlags): Promise<ModelInspection> {
  const bar = new ProgressBar()
  try {
    const path = await locateModel(
      { model, revision },
      {
        onDownloadProgress: ({ file, loadedBytes, totalBytes }) =>
          bar.update(`downloading ${file}`, loadedBytes, totalBytes),
      },
    )
    return await inspectModel(path)
  } finally {
    bar.end()
  }
}

function format(model: string, inspection: ModelInspection): string {
  const { architecture, numParameters, bytes, parts, formats, maxPositions, kvBytesPerToken } = inspection
  const rows: [string, string][] = [
    ['model', model],
    ['path', inspection.path],
    ['architecture', `${architecture}, ${shapeOf(inspection)}`],
    ['parameters', `${count(numParameters)} in ${formatBytes(bytes)}, ${bitsOf({ bytes, numParameters })}`],
    ...sharesOf('by part', parts, bytes),
    ...sharesOf('by format', formats, bytes),
    ['answers with', answersOf(inspection)],
    ['context', `${maxPositions} tokens`],
    [
      'KV cache',
      inspection.pooling.needsWholePrompts
        ? 'none: prompts are computed whole'
        : `${Object.entries(kvBytesPerToken)
            .map(([dtype, size]) => `${formatBytes(size)} a token in ${dtype}`)
            .join(', ')}`,
    ],
    ['memory', fitOf(inspection)],
  ]
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  return `${rows.map(([name, value]) => `${name.padEnd(width)}${value}`).join('\n')}\n`
}

function shapeOf(inspection: ModelInspection): string {
  const { numLayers, hiddenSize, intermediateSize, numHeads, numKvHeads, headDim, vocabSize, experts } = inspection
  const mixture = experts === null ? '' : `, ${experts.numExpertsPerToken} of ${experts.numExperts} experts`
  return `${numLayers} layers of ${hiddenSize}, ${numHeads} heads and ${numKvHeads} for keys and values of ${headDim}, MLP of ${intermediateSize}${mixture}, vocabulary of ${vocabSize}`
}

/** How many of a classifier's labels are named. */
const maxLabels = 8

function answersOf({ pooling }: ModelInspection): string {
  const { canGenerate, classifier, tasks, dimensions, type, isNormalized, matryoshka } = pooling
  if (classifier !== null) {
    const { labels, activation } = classifier
    const named = labels.slice(0, maxLabels).join(', ')
    const rest = labels.length > maxLabels ? ` and ${labels.length - maxLabels} more` : ''
    const ofWhat = tasks.includes('classify') ? 'a text' : 'each token'
    return `classes of ${ofWhat}, ${activation === 'none' ? 'logits' : activation} of ${named}${rest}`
  }
  const others = matryoshka === 'any' ? ['fewer'] : (matryoshka ?? []).filter((length) => length !== dimensions)
  const lengths = others.length === 0 ? '' : `, or ${others.join(', ')}`
  const length = isNormalized ? ', of length 1' : ''
  const embeddings = `embeddings of ${dimensions}${lengths} numbers by ${type}${length}`
  return canGenerate ? `text; ${embeddings}` : embeddings
}

function sharesOf(title: string, shares: readonly Share[], total: number): [string, string][] {
  const width = Math.max(...shares.map(({ name }) => name.length))
  return shares.map(({ name, numParameters, bytes }, i) => [
    i === 0 ? title : '',
    `${name.padEnd(width)}  ${formatBytes(bytes).padStart(10)}  ${((100 * bytes) / total).toFixed(1).padStart(5)} %  ${count(numParameters)}, ${bitsOf({ bytes, numParameters })}`,
  ])
}

function fitOf({ memory: { availableBytes, fits, maxContextTokens }, bytes, maxPositions }: ModelInspection): string {
  const free = `${formatBytes(availableBytes)} are free`
  if (!fits) return `does not fit: ${formatBytes(bytes)} of weights and a short context, ${free}`
  const context = maxContextTokens < maxPositions ? `a context of ${maxContextTokens} tokens` : 'its whole context'
  return `fits with ${context}: ${free}`
}

function bitsOf({ bytes, numParameters }: Pick<Share, 'bytes' | 'numParameters'>): string {
  return `${((8 * bytes) / numParameters).toFixed(2)} bits each`
}

/** 3443456 → `3.44M`. */
function count(value: number): string {
  const [unit, size] = value >= 1e9 ? ['B', 1e9] : value >= 1e6 ? ['M', 1e6] : value >= 1e3 ? ['K', 1e3] : ['', 1]
  return `${size === 1 ? value : (value / size).toFixed(2)}${unit}`
}
