import type { LayerRange } from '../models/model.ts'
import type { KvDType } from '../tensor/kv-storage.ts'
import { formatBytes } from '../util/format-bytes.ts'
import type { WarmupReport } from './warm-up.ts'

/** What one rank holds of the model. */
export interface RankInfo {
  /** `null` = the engine's own machine. */
  readonly host: string | null
  /** `end` is behind the last. */
  readonly layers: LayerRange
  readonly numKvHeads: number
  readonly weightBytes: number
  readonly kvCacheBytes: number
}

/** What was loaded, where it runs and how much it holds. Bytes are those of all ranks together. */
export interface EngineInfo {
  readonly backend: string
  readonly isBatchInvariant: boolean
  readonly weightBytes: number
  readonly kvCacheDtype: KvDType
  readonly kvCacheBytes: number
  /** Of the KV cache, on every rank. */
  readonly numBlocks: number
  readonly blockSize: number
  readonly maxModelLen: number
  /** An encoder: each prompt is computed in one step, and nothing of it is kept. Left out: false. */
  readonly needsWholePrompts?: boolean
  /** What ran before serving; null where nothing did. */
  readonly warmup: WarmupReport | null
  /** Who holds what, in the order of the ranks; one where the engine's own thread holds all. */
  readonly ranks: readonly RankInfo[]
}

/** A line per rank, for the operator. */
export function describeRanks({ ranks }: Pick<EngineInfo, 'ranks'>): string[] {
  return ranks.map(({ host, layers: { start, end }, numKvHeads, weightBytes, kvCacheBytes }, rank) => {
    const where = host === null ? '' : ` on ${host}`
    const layers = end - start === 1 ? `layer ${start}` : `layers ${start} to ${end - 1}`
    const heads = `${numKvHeads} KV head${numKvHeads === 1 ? '' : 's'}`
    return `rank ${rank}${where}: ${end > start ? `${layers}, ${heads}` : 'no layers'}, ${formatBytes(weightBytes)} of weights, ${formatBytes(kvCacheBytes)} of KV cache`
  })
}
