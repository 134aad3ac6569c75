import type { EngineConfig } from '../config/engine-config.ts'
import { type EngineDeadError, OctavoError } from '../errors.ts'
import type { Logger } from '../util/logger.ts'
import { describeChatFormat } from './chat-format-of.ts'
import { describeRanks, type EngineInfo } from './engine-info.ts'
import type { FrontModel } from './front-model.ts'

/** What the operator should know of an engine that serves. */
export function logStart(
  info: EngineInfo,
  { config, front, logger }: { config: EngineConfig; front: FrontModel; logger: Logger },
): void {
  if (info.warmup !== null) {
    const { numSteps, tookMs } = info.warmup
    logger.info(`warmed up ${info.backend} with ${numSteps} batches in ${(tookMs / 1000).toFixed(1)} s`)
  }
  if (front.chatFormat !== null) logger.info(describeChatFormat(front.chatFormat))
  if (info.ranks.length > 1) for (const line of describeRanks(info)) logger.info(line)
  if (config.model.maxModelLen === null && info.maxModelLen < front.maxPositions) {
    logger.warn(
      `the context is cut from ${front.maxPositions} to ${info.maxModelLen} tokens, which is what the KV cache holds; set maxModelLen or kvCacheMemory to change that`,
    )
  }
}

/** A program that passes no logger is who needs it most. */
export function warn(message: string, { logger }: { readonly logger?: Logger | undefined }): void {
  if (logger === undefined) process.emitWarning(message, 'OctavoHint')
  else logger.warn(message)
}

/** The message has the cause and the remedy; a bug's place is in the cause's stack. */
export function describeEnd(error: EngineDeadError): string {
  let cause: unknown = error
  while (OctavoError.isInstance(cause)) cause = cause.cause
  return cause instanceof Error ? `${error.message}\n${cause.stack ?? ''}` : error.message
}
