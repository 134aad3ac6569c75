import { consoleLogger, type EngineClient, resolveOptions } from '@octavo/core'
import { checkAddress, checkApiKeys, createApp, listen, timedLogger } from '@octavo/server'
import type { Command } from 'commander'
import { readCliEnv } from '../cli-env.ts'
import { addEngineFlags, type EngineFlags, engineOptionsOf, servingGroups } from '../flags/engine-flags.ts'
import { addOptionFlags } from '../flags/option-flags.ts'
import { serveOptionTable } from '../flags/serve-options.ts'
import { openEngine } from '../open-engine.ts'
import { onStopSignal } from '../shutdown.ts'
import { readVersion } from '../version.ts'

export function addServeCommand(program: Command): void {
  const command = program
    .command('serve')
    .description('serve a model over HTTP with the OpenAI API')
    .argument('<model>', 'a Hugging Face repo id, a folder, a .gguf file, or octavo-tiny')
  addEngineFlags(addOptionFlags(command, serveOptionTable), servingGroups).action((model: string, flags: EngineFlags) =>
    serve(model, flags),
  )
}

/** Its lines go to journals: each has the time, as those of the requests have. */
const logger = timedLogger(consoleLogger)

async function serve(model: string, flags: EngineFlags): Promise<void> {
  const { host, port, shutdownTimeout, ...options } = resolveOptions(serveOptionTable, { ...flags })
  const apiKeys = findApiKeys(options.apiKey)
  // A stop while the model is still loading has nothing to drain.
  const forget = onStopSignal(() => process.exit(0))
  await checkAddress({ host, port })
  const ended = Promise.withResolvers<number>()
  const engine = await openEngine(engineOptionsOf(model, flags, servingGroups), flags, {
    logger,
    restart: options.restart,
    onDead: () => ended.resolve(engineDeadExitCode),
  })
  const app = createApp({
    engine,
    version: readVersion(),
    apiKeys,
    adminApiKey: options.adminApiKey ?? readCliEnv().adminApiKey ?? undefined,
    logger: options.requestLog ? consoleLogger : { ...consoleLogger, info() {} },
    drainTimeoutMs: shutdownTimeout * 1000,
    trustRequestChatTemplate: options.trustRequestChatTemplate,
  })
  const server = await listen(app, { host, port })
  forget()
  if (apiKeys.length === 0 && !isLoopback(host)) {
    logger.warn(`anyone who reaches ${host} can use this server; --api-key asks for a key`)
  }
  logger.info(`serving ${engine.models.map(({ id }) => id).join(', ')} at ${server.url}/v1; Ctrl-C stops`)
  process.send?.({ type: 'listening', url: server.url })
  onStopSignal(() => ended.resolve(0))
  const exitCode = await ended.promise
  if (exitCode === 0) announceStop(engine, shutdownTimeout)
  else logger.error(`the engine does not serve again: stopping with exit code ${exitCode}`)
  await server.close()
  await engine.shutdown()
  process.exit(exitCode)
}

/** sysexits' EX_SOFTWARE: told apart from a wrong flag (2) and a start that failed (1), so that a supervisor starts anew. */
const engineDeadExitCode = 70

/** @throws InvalidConfigError for a key that no request can show */
function findApiKeys(given: readonly string[] | null): readonly string[] {
  const { apiKey } = readCliEnv()
  if (given !== null) checkApiKeys(given, 'apiKey')
  else if (apiKey !== null) checkApiKeys([apiKey], 'OCTAVO_API_KEY')
  return given ?? (apiKey === null ? [] : [apiKey])
}

function announceStop(engine: EngineClient, timeoutSeconds: number): void {
  const { numRunningSeqs, numWaitingSeqs } = engine.metrics()
  const numSeqs = numRunningSeqs + numWaitingSeqs
  const names = numSeqs === 1 ? '1 running sequence' : `${numSeqs} running sequences`
  const wait = `waiting for ${names}, up to ${timeoutSeconds} s; Ctrl-C again stops at once`
  logger.info(numSeqs > 0 && timeoutSeconds > 0 ? `stopping: ${wait}` : 'stopping')
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}
