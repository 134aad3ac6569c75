import { closeSync, existsSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { engineOptionTable } from '@octavo/core'
import { evaluate, type EvaluateOptions, evaluateOptionTable, evaluationHtml, formatEvaluation } from '@octavo/quant'
import type { Command } from 'commander'
import { backendModules, type BackendFlags } from '../backend-modules.ts'
import { backendOptionTable } from '../flags/backend-options.ts'
import { addOptionFlags } from '../flags/option-flags.ts'
import { ProgressBar } from '../ui/progress-bar.ts'
import { UsageError } from '../ui/report-error.ts'

interface EvaluateFlags extends Omit<EvaluateOptions, 'models' | 'modules'>, Pick<BackendFlags, 'threads'> {
  readonly json?: string
  readonly html?: string
}

export function addEvaluateCommand(program: Command): void {
  const command = program
    .command('evaluate')
    .description('say what quantized models cost against the one they were made from')
    .argument('<models...>', 'Hugging Face repo ids, folders, .gguf files, or octavo-tiny')
    .option('--json <file>', 'all figures as JSON; - writes them to stdout in place of the tables')
    .option('--html <file>', 'a report with plots, one file that needs no other')
  addOptionFlags(command, {
    ...evaluateOptionTable,
    backend: engineOptionTable.backend,
    ...backendOptionTable,
  }).action((models: string[], flags: EvaluateFlags) => run(models, flags))
}

async function run(models: readonly string[], { json, html, threads, ...options }: EvaluateFlags): Promise<void> {
  const bar = new ProgressBar(process.stderr, String)
  const downloads = new ProgressBar()
  const modules = backendModules(threads === undefined ? {} : { threads })
  // An evaluation may take hours: what can't be written is said before.
  for (const file of [html, json]) if (file !== undefined && file !== '-') checkWritable(file)
  try {
    const evaluation = await evaluate({
      ...options,
      models,
      modules,
      onProgress: (activity, done, total) => bar.update(activity, done, total),
      onDownloadProgress: ({ file, loadedBytes, totalBytes }) =>
        downloads.update(`downloading ${file}`, loadedBytes, totalBytes),
    })
    bar.end()
    const text = `${JSON.stringify(evaluation, null, 2)}\n`
    process.stdout.write(json === '-' ? text : `${formatEvaluation(evaluation)}\n`)
    if (html !== undefined) writeFileSync(html, evaluationHtml(evaluation))
    if (json !== undefined && json !== '-') writeFileSync(json, text)
  } finally {
    bar.end()
    downloads.end()
  }
  // Backends may hold worker threads of their own.
  process.exit()
}

function checkWritable(file: string): void {
  const wasThere = existsSync(file)
  try {
    closeSync(openSync(file, 'a'))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new UsageError(`The report ${file} can't be written (${reason}). Name a file in a folder that is there.`)
  }
  if (!wasThere) rmSync(file)
}
