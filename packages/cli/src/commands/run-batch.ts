import { access } from 'node:fs/promises'
import { consoleLogger } from '@octavo/core'
import { createApp, runBatchFile } from '@octavo/server'
import type { Command } from 'commander'
import { addEngineFlags, type EngineFlags, engineOptionsOf, servingGroups } from '../flags/engine-flags.ts'
import { integer } from '../flags/parsers.ts'
import { openEngine } from '../open-engine.ts'
import { onStopSignal } from '../shutdown.ts'
import { UsageError } from '../ui/report-error.ts'
import { readVersion } from '../version.ts'

interface RunBatchFlags extends EngineFlags {
  readonly inputFile: string
  readonly outputFile: string
  readonly model: string
  readonly maxRequests: number
}

export function addRunBatchCommand(program: Command): void {
  const command = program
    .command('run-batch')
    .description('answer the requests of a file, a line each, in the form that /v1/batches takes')
    .requiredOption('-i, --input-file <file>', 'a request a line: custom_id, method, url, body')
    .requiredOption('-o, --output-file <file>', 'a result a line, in the same order')
    .requiredOption('--model <model>', 'a Hugging Face repo id, a folder, a .gguf file, or octavo-tiny')
    .option('--max-requests <count>', 'requests at once (256)', integer(1, 65_536), 256)
  addEngineFlags(command, servingGroups).action((flags: RunBatchFlags) => runBatch(flags))
}

async function runBatch({
  inputFile: input,
  outputFile: output,
  model,
  maxRequests,
  ...flags
}: RunBatchFlags): Promise<void> {
  for (const [flag, file] of [
    ['--input-file', input],
    ['--output-file', output],
  ] as const)
    if (/^https?:/.test(file))
      throw new UsageError(`${flag} must be a file of this machine; fetch or send ${file} by other means.`)
  await access(input)
  await using engine = await openEngine(engineOptionsOf(model, flags, servingGroups), flags)
  const controller = new AbortController()
  onStopSignal(() => controller.abort(new StoppedError()))
  const { signal } = controller
  const app = createApp({ engine, version: readVersion(), isolatePrefixCache: false })
  const startedAt = performance.now()
  try {
    const { numCompleted, numFailed, numKept } = await runBatchFile(app, { input, output, maxRequests, signal })
    const kept = numKept > 0 ? `, ${numKept} of an earlier run` : ''
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    consoleLogger.info(`${output}: ${numCompleted} answered, ${numFailed} failed${kept}, in ${seconds} s`)
  } catch (error) {
    if (!(error instanceof StoppedError)) throw error
    consoleLogger.info(`stopped; the same command goes on from ${output}.part`)
    process.exitCode = 130
  } finally {
    await app.close()
  }
}

class StoppedError extends Error {}
