import type { EngineConfig } from '../config/engine-config.ts'
import { InsufficientMemoryError, InvalidConfigError } from '../errors.ts'
import type { MachineShare } from '../backends/backend-pack.ts'
import { formatBytes } from '../util/format-bytes.ts'
import { ceilDiv } from '../util/math.ts'

/** The memory that the process may still take, and the backend's own cap. */
export interface MemoryLimits {
  readonly availableBytes: number
  /** Left of the backend's address space after the weights; `null` = no cap of its own. */
  readonly backendBytes: number | null
}

export interface KvCacheSize {
  /** On every rank. */
  readonly numBlocks: number
  readonly maxModelLen: number
  /** Of all ranks. */
  readonly kvCacheBytes: number
}

/** What one rank's cache holds and may take. */
export interface RankMemory {
  readonly kvBytesPerToken: number
  readonly availableKvBytes: number
  readonly maxPositions: number
}

/** An automatic context is not cut below this: a model that holds less is refused instead. */
const minAutoModelLen = 256

/**
 * How many blocks fit on every rank, and how long a context they hold. One block more than needed is the null block.
 * Never more than `maxNumSeqs` full contexts: more would be reserved for nothing. Of a model that keeps nothing all blocks
 * fit, and count what is in flight.
 *
 * @throws InsufficientMemoryError when one context does not fit, with the numbers and what to change
 */
export function sizeKvCache(config: EngineConfig, ranks: readonly RankMemory[]): KvCacheSize {
  const numFittingOn = ({ kvBytesPerToken, availableKvBytes }: RankMemory): number =>
    kvBytesPerToken === 0 ? Infinity : Math.floor(availableKvBytes / (kvBytesPerToken * config.cache.blockSize))
  const least = ranks.reduce((a, b) => (numFittingOn(b) < numFittingOn(a) ? b : a))
  const numFitting = numFittingOn(least)
  const bytesPerBlock = least.kvBytesPerToken * config.cache.blockSize
  const budget = least.availableKvBytes
  const wanted = config.model.maxModelLen ?? least.maxPositions
  const fittingLen = Math.max(0, numFitting - 1) * config.cache.blockSize
  const maxModelLen = config.model.maxModelLen === null ? Math.min(wanted, fittingLen) : wanted
  if (maxModelLen > fittingLen || maxModelLen < Math.min(minAutoModelLen, wanted)) {
    const required =
      (ceilDiv(Math.min(wanted, config.model.maxModelLen ?? minAutoModelLen), config.cache.blockSize) + 1) *
      bytesPerBlock
    throw new InsufficientMemoryError(
      `The KV cache of one sequence of ${config.model.maxModelLen ?? Math.min(minAutoModelLen, wanted)} tokens takes ${formatBytes(required)}, but ${formatBytes(budget)} are given to it. ` +
        `Lower maxModelLen${fittingLen > 0 ? ` to at most ${fittingLen}` : ''}, raise kvCacheMemory, or free memory.`,
      required,
      budget,
    )
  }
  const numUseful = ceilDiv(maxModelLen, config.cache.blockSize) * config.scheduler.maxNumSeqs + 1
  const numBlocks = Math.min(numFitting, numUseful)
  const bytesPerTokenOfAll = ranks.reduce((total, rank) => total + rank.kvBytesPerToken, 0)
  return { numBlocks, maxModelLen, kvCacheBytes: numBlocks * config.cache.blockSize * bytesPerTokenOfAll }
}

/** Before any weight is read. @throws InvalidConfigError when the model has no such positions */
export function checkMaxModelLen(
  { maxModelLen }: Pick<EngineConfig['model'], 'maxModelLen'>,
  maxPositions: number,
): void {
  if (maxModelLen === null || maxModelLen <= maxPositions) return
  throw new InvalidConfigError(
    'maxModelLen',
    `is ${maxModelLen}, but the model's position range ends at ${maxPositions}; lower it to at most that`,
  )
}

/** @throws InsufficientMemoryError when the weights alone do not fit */
export function checkWeightsFit(file: string, weightBytes: number, memory: MemoryLimits): void {
  const limit = Math.min(memory.availableBytes, memory.backendBytes ?? Infinity)
  if (weightBytes <= limit) return
  const why = memory.backendBytes === limit ? 'this backend can hold at most' : 'free memory is'
  throw new InsufficientMemoryError(
    `The weights of ${file} take ${formatBytes(weightBytes)}, but ${why} ${formatBytes(limit)}. Use a smaller or quantized checkpoint, dtype 'auto' or a 16-bit dtype, another backend, or a machine with more memory.`,
    weightBytes,
    limit,
  )
}

/**
 * What one rank may give to its KV cache: its share of the option's bytes, or the option's share of the memory that is
 * free for it.
 * @throws InsufficientMemoryError when more is asked for than there is
 */
export function kvBudget(
  kvCacheMemory: EngineConfig['cache']['kvCacheMemory'],
  memory: MemoryLimits,
  { numLocalWorkers }: Pick<MachineShare, 'numLocalWorkers'>,
): number {
  const cap = Math.min(memory.availableBytes, memory.backendBytes ?? Infinity)
  if ('fractionOfFree' in kvCacheMemory)
    return Math.floor(Math.min(memory.availableBytes * kvCacheMemory.fractionOfFree, cap))
  const bytes = Math.floor(kvCacheMemory.bytes / numLocalWorkers)
  if (bytes > cap) {
    throw new InsufficientMemoryError(
      `kvCacheMemory asks for ${formatBytes(bytes)}${numLocalWorkers > 1 ? ` on each of ${numLocalWorkers} ranks` : ''}, but only ${formatBytes(cap)} are left beside the weights. Lower it.`,
      bytes,
      cap,
    )
  }
  return bytes
}
