import type { KvDType } from '../tensor/kv-storage.ts'
import type { WarmupReport } from './warm-up.ts'

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
  /** What ran before serving; null where nothing did. */
  readonly warmup: WarmupReport | null
}
