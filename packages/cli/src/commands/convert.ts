import { formatBytes, InvalidConfigError, nearestName } from '@octavo/core'
import { locateModel } from '@octavo/core/loading'
import { convertCheckpoint, ggufFileTypeNames, writeGguf, type GgufFileType } from '@octavo/quant'
import type { Command } from 'commander'
import { ProgressBar } from '../ui/progress-bar.ts'
import { UsageError } from '../ui/report-error.ts'

interface ConvertFlags {
  readonly to?: string
  readonly type?: string
  readonly revision: string
}

const targets = ['gguf', 'compressed-tensors', 'gptq', 'gptq_v2', 'awq', 'safetensors'] as const
type Target = (typeof targets)[number]

export function addConvertCommand(program: Command): void {
  program
    .command('convert')
    .description('write a checkpoint in another format: the same values, or the reason why it can not have them')
    .argument('<source>', 'a Hugging Face repo id, a folder, a .gguf file, or octavo-tiny')
    .argument('<target>', 'the .gguf file or the folder to write')
    .option('--to <format>', `${targets.join(', ')}; left out, gguf for a target of that ending`)
    .option(
      '--type <type>',
      `of a GGUF file, to quantize for: ${ggufFileTypeNames.join(', ')}; left out, values are kept`,
    )
    .option('--revision <revision>', 'branch, tag or commit of the Hugging Face repository', 'main')
    .action(async (source: string, target: string, flags: ConvertFlags) => {
      process.stdout.write(`${await convert(source, target, flags)}\n`)
    })
}

async function convert(source: string, target: string, flags: ConvertFlags): Promise<string> {
  const to = targetOf(target, flags)
  const type = flags.type === undefined ? ('exact' as const) : typeOf(flags.type, to)
  const bar = new ProgressBar()
  const modulesBar = new ProgressBar(process.stderr, String)
  try {
    const path = await locateModel(
      { model: source, revision: flags.revision },
      {
        onDownloadProgress: ({ file, loadedBytes, totalBytes }) =>
          bar.update(`downloading ${file}`, loadedBytes, totalBytes),
      },
    )
    if (to === 'gguf') {
      const onProgress = (done: number, total: number): void => bar.update(`writing ${target}`, done, total)
      const { sizeInBytes, formats, notes } = await writeGguf(path, target, { type, onProgress })
      bar.end()
      const counts = Object.entries(formats).map(([format, count]) => `${count} ${format}`)
      return [
        `${target}: ${formatBytes(sizeInBytes)} of tensors (${counts.join(', ')})`,
        ...notes.map((note) => `note: ${note}`),
      ].join('\n')
    }
    const onProgress = (done: number, total: number): void => modulesBar.update(`modules of ${target}`, done, total)
    const { weightBytes, numQuantized } = await convertCheckpoint(path, target, { to, onProgress })
    modulesBar.end()
    return `${target}: ${formatBytes(weightBytes)} of tensors, ${numQuantized} quantized modules as ${to}`
  } finally {
    bar.end()
    modulesBar.end()
  }
}

function targetOf(target: string, { to }: ConvertFlags): Target {
  if (to === undefined) {
    if (target.endsWith('.gguf')) return 'gguf'
    throw new UsageError(`Say to which format: --to ${targets.join(', ')}.`)
  }
  const found = targets.find((name) => name === to)
  if (found !== undefined) return found
  const nearest = nearestName(to, targets)
  throw new UsageError(
    `There is no format "${to}"${nearest === null ? '.' : `; did you mean "${nearest}"?`} Known are ${targets.join(', ')}.`,
  )
}

function typeOf(type: string, to: Target): GgufFileType {
  if (to !== 'gguf') throw new UsageError(`--type is of GGUF files; to quantize for ${to}, see octavo quantize.`)
  const found = ggufFileTypeNames.find((name) => name === type.toUpperCase())
  if (found !== undefined) return found
  const nearest = nearestName(type.toUpperCase(), ggufFileTypeNames)
  throw new InvalidConfigError(
    'type',
    `there is no "${type}"${nearest === null ? '.' : `; did you mean "${nearest}"?`} Known are ${ggufFileTypeNames.join(', ')}`,
  )
}
