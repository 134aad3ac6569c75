import { type EngineClient, engineOptionTable, type Logger } from '@octavo/core'
import {
  type AppOptions,
  type BatchOptions,
  checkAddress,
  checkBatchFolder,
  createApp,
  type KeyRing,
  listen,
  renewTls,
  type TlsOptions,
} from '@octavo/server'
import type { Command } from 'commander'
import { describeOptions } from '../config/describe-options.ts'
import { describeUnknownVariables } from '../config/unknown-variables.ts'
import { variableOf } from '../config/variable-of.ts'
import { addEngineFlags, servingGroups } from '../flags/engine-flags.ts'
import { addOptionFlags } from '../flags/option-flags.ts'
import { serveOptionTable } from '../flags/serve-options.ts'
import { openKeyRing, readKeys } from '../serving/api-keys.ts'
import { openModels } from '../serving/open-models.ts'
import { Reloader } from '../serving/reload.ts'
import { createLoggers } from '../serving/create-logger.ts'
import { openTracing, type Tracing } from '../serving/open-tracing.ts'
import { gatherOptions, type ServeSettings, serveSettings, serveTable } from '../serving/serve-settings.ts'
import { readTls } from '../serving/tls-files.ts'
import { onStopSignal } from '../shutdown.ts'
import { readVersion } from '../version.ts'

export function addServeCommand(program: Command): void {
  const command = program
    .command('serve')
    .description('serve a model over HTTP with the OpenAI API')
    .argument('[model]', 'a Hugging Face repo id, a folder, a .gguf file, or octavo-tiny')
    // Before the hook of the engine's flags, which reads them.
    .hook('preAction', () => gatherOptions(command))
  addEngineFlags(addOptionFlags(command, serveOptionTable), servingGroups).action(() => serve(command))
}

async function serve(command: Command): Promise<void> {
  const settings = serveSettings(command)
  const { host, port, shutdownTimeout, drainDelay, restart, logFormat, otlpTracesEndpoint } = settings.server
  const loggers = createLoggers(settings.server)
  const logger = loggers.own
  const ring = openKeyRing(settings.server)
  const tls = readTls(settings.server)
  const tracing = otlpTracesEndpoint === null ? null : await openTracing(otlpTracesEndpoint, logger)
  // A stop while the model is still loading has nothing to drain.
  const forget = onStopSignal(() => process.exit(0))
  await checkAddress({ host, port })
  if (settings.server.batchFolder !== null) await checkBatchFolder(settings.server.batchFolder)
  const ended = Promise.withResolvers<number>()
  const engine = await openModels(settings.models, {
    logger,
    hasProgress: logFormat === 'text',
    restart,
    onDead: () => ended.resolve(engineDeadExitCode),
  })
  const app = createApp(appOptions(settings, { engine, ring, tls, tracing, logger: loggers.app }))
  const server = await listen(app, { host, port })
  forget()
  using reloader = createReloader(settings, { ring, renew: (next) => renewTls(app, next), logger })
  if (ring === null && tls?.clientCa === undefined && !isLoopback(host)) {
    logger.warn(`anyone who reaches ${host} can use this server; OCTAVO_API_KEY or --api-key-file asks for a key`)
  }
  // Not sooner: of what is wrong the error alone is said, with where it came from.
  sayOptions(command, settings, logger)
  logger.info(`serving ${engine.models.map(({ id }) => id).join(', ')} at ${server.url}/v1; Ctrl-C stops`)
  process.send?.({ type: 'listening', url: server.url })
  onStopSignal(() => ended.resolve(0), reloader.isEmpty ? null : () => reloader.loadAll())
  const exitCode = await ended.promise
  if (exitCode === 0) logger.info(describeStop(engine, { shutdownTimeout, drainDelay }))
  else logger.error(`the engine does not serve again: stopping with exit code ${exitCode}`)
  await server.close()
  await engine.shutdown()
  await tracing?.close()
  process.exit(exitCode)
}

/** sysexits' EX_SOFTWARE: told apart from a wrong flag (2) and a start that failed (1), so that a supervisor starts anew. */
const engineDeadExitCode = 70

function sayOptions(command: Command, { file }: ServeSettings, logger: Logger): void {
  logger.info(describeOptions(command, serveTable, file))
  for (const line of describeUnknownVariables(Object.keys(serveTable).map(variableOf))) logger.warn(line)
}

interface Parts {
  readonly engine: EngineClient
  readonly ring: KeyRing | null
  readonly tls: TlsOptions | null
  readonly tracing: Tracing | null
  readonly logger: Logger
}

function appOptions({ server, models }: ServeSettings, { engine, ring, tls, tracing, logger }: Parts): AppOptions {
  return {
    engine,
    version: readVersion(),
    logger: server.requestLog ? logger : { ...logger, info() {} },
    metrics: server.metrics,
    ...(tracing !== null && { tracer: tracing.tracer }),
    ...(ring !== null && { authenticate: ring.authenticate }),
    adminApiKey: server.adminApiKey ?? undefined,
    tls: tls ?? undefined,
    allowedHosts: server.allowedHosts ?? [],
    allowedOrigins: server.allowedOrigins ?? undefined,
    allowedMethods: server.allowedMethods ?? undefined,
    allowedHeaders: server.allowedHeaders ?? undefined,
    allowCredentials: server.allowCredentials,
    trustRequestChatTemplate: server.trustRequestChatTemplate,
    enableTokenizerInfoEndpoint: server.enableTokenizerInfoEndpoint,
    batches: batchOptions(server, models),
    ...limitsOf(server),
    maxNumSeqs: models.reduce((sum, { flags }) => sum + (flags.maxNumSeqs ?? engineOptionTable.maxNumSeqs.default), 0),
  }
}

function batchOptions(
  { batchFolder, maxBatchRequests, maxStoredBytes }: ServeSettings['server'],
  models: ServeSettings['models'],
): BatchOptions {
  const hasPriorities = models.every(({ flags }) => flags.schedulingPolicy === 'priority')
  return {
    maxRequests: maxBatchRequests,
    maxStoredBytes,
    ...(batchFolder !== null && { folder: batchFolder }),
    ...(hasPriorities && { priority: batchPriority }),
  }
}

/** Behind everything that a client is likely to ask for. */
const batchPriority = 1_000_000

function limitsOf(server: ServeSettings['server']): Partial<AppOptions> {
  return {
    bodyLimit: server.maxBodyBytes,
    maxHeaderBytes: server.maxHeaderBytes,
    maxQueuedSeqs: server.maxQueuedSeqs,
    writeTimeoutMs: server.writeTimeout * 1000,
    pingIntervalMs: server.pingInterval === 0 ? null : server.pingInterval * 1000,
    drainDelayMs: server.drainDelay * 1000,
    drainTimeoutMs: server.shutdownTimeout * 1000,
    restartWaitMs: server.restartWait * 1000,
  }
}

interface Renewed {
  readonly ring: KeyRing | null
  readonly renew: (tls: TlsOptions) => void
  readonly logger: Logger
}

function createReloader({ server }: ServeSettings, { ring, renew, logger }: Renewed): Reloader {
  const { apiKeyFile, sslKeyfile, sslCertfile, sslCaCerts } = server
  const given = (...files: (string | null)[]): string[] => files.filter((file) => file !== null)
  const renewTlsFiles = (): void => {
    const tls = readTls(server)
    if (tls !== null) renew(tls)
  }
  return new Reloader(
    [
      { name: 'API keys', files: given(apiKeyFile), load: () => ring?.replace(readKeys(server)) },
      { name: 'certificates', files: given(sslKeyfile, sslCertfile, sslCaCerts), load: renewTlsFiles },
    ],
    logger,
  )
}

interface Stop {
  readonly shutdownTimeout: number
  readonly drainDelay: number
}

function describeStop(engine: EngineClient, { shutdownTimeout, drainDelay }: Stop): string {
  const { numRunningSeqs, numWaitingSeqs } = engine.metrics()
  const numSeqs = numRunningSeqs + numWaitingSeqs
  const names = numSeqs === 1 ? '1 running sequence' : `${numSeqs} running sequences`
  const delay = drainDelay > 0 ? `requests are taken for ${drainDelay} s more, then ` : ''
  const wait = `waiting for ${names}, up to ${shutdownTimeout} s; Ctrl-C again stops at once`
  return `stopping${numSeqs > 0 && shutdownTimeout > 0 ? `: ${delay}${wait}` : delay === '' ? '' : `: ${delay}no more`}`
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}
