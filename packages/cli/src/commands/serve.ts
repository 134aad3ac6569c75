import { consoleLogger, type EngineClient } from '@octavo/core'
import { createApp, listen } from '@octavo/server'
import type { Command } from 'commander'
import { addModelFlags, addServingFlags, type EngineFlags, engineOptionsOf } from '../flags/engine-flags.ts'
import { collect, integer, number } from '../flags/parsers.ts'
import { openEngine } from '../open-engine.ts'
import { checkAddress } from '../check-address.ts'
import { onStopSignal } from '../shutdown.ts'
import { readVersion } from '../version.ts'

interface ServeFlags extends EngineFlags {
  readonly host: string
  readonly port: number
  readonly apiKey?: readonly string[]
  readonly shutdownTimeout: number
  readonly requestLog: boolean
  readonly trustRequestChatTemplate?: boolean
}

export function addServeCommand(program: Command): void {
  const command = program
    .command('serve')
    .description('serve a model over HTTP with the OpenAI API')
    .argument('<model>', 'a Hugging Face repo id, a folder, a .gguf file, or octavo-tiny')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('-p, --port <port>', 'port to listen on; 0 = any free one', integer(0, 65_535), 8000)
    .option('--api-key <key>', 'key that requests must bring; may be repeated (OCTAVO_API_KEY)', collect)
    .option(
      '--shutdown-timeout <seconds>',
      'how long running requests may take to finish at a stop',
      number(0, 86_400),
      30,
    )
    .option('--no-request-log', 'write no line per request')
    .option('--trust-request-chat-template', 'run the templates that requests bring')
  addServingFlags(addModelFlags(command)).action((model: string, flags: ServeFlags) => serve(model, flags))
}

async function serve(model: string, flags: ServeFlags): Promise<void> {
  const { host, port, shutdownTimeout } = flags
  const apiKeys = apiKeysOf(flags)
  // A stop while the model is still loading has nothing to drain.
  const forget = onStopSignal(() => process.exit(0))
  await checkAddress({ host, port })
  const engine = await openEngine(engineOptionsOf(model, flags), flags)
  const app = createApp({
    engine,
    version: readVersion(),
    apiKeys,
    logger: flags.requestLog ? consoleLogger : { ...consoleLogger, info() {} },
    drainTimeoutMs: shutdownTimeout * 1000,
    trustRequestChatTemplate: flags.trustRequestChatTemplate ?? false,
  })
  const server = await listen(app, { host, port })
  forget()
  if (apiKeys.length === 0 && !isLoopback(host)) {
    consoleLogger.warn(`anyone who reaches ${host} can use this server; --api-key asks for a key`)
  }
  consoleLogger.info(`serving ${engine.models.map(({ id }) => id).join(', ')} at ${server.url}/v1; Ctrl-C stops`)
  process.send?.({ type: 'listening', url: server.url })
  await new Promise<void>((resolve) => {
    onStopSignal(() => resolve())
  })
  announceStop(engine, shutdownTimeout)
  await server.close()
  await engine.shutdown()
  process.exit(0)
}

function announceStop(engine: EngineClient, timeoutSeconds: number): void {
  const { numRunningSeqs, numWaitingSeqs } = engine.metrics()
  const numSeqs = numRunningSeqs + numWaitingSeqs
  const names = numSeqs === 1 ? '1 running sequence' : `${numSeqs} running sequences`
  const wait = `waiting for ${names}, up to ${timeoutSeconds} s; Ctrl-C again stops at once`
  consoleLogger.info(numSeqs > 0 && timeoutSeconds > 0 ? `stopping: ${wait}` : 'stopping')
}

function apiKeysOf({ apiKey }: ServeFlags): readonly string[] {
  const fromEnv = process.env['OCTAVO_API_KEY']?.trim() ?? ''
  return apiKey ?? (fromEnv === '' ? [] : [fromEnv])
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}
