import type { ForwardContext } from './forward-context.ts'

/** For layers that use no KV cache. */
export function emptyContext(): ForwardContext {
  const none = new Int32Array(0)
  return {
    metadata: {
      numTokens: 0,
      numSeqs: 0,
      blockSize: 1,
      queryStartLoc: none,
      seqLens: none,
      blockTables: none,
      maxBlocksPerSeq: 0,
      slotMapping: none,
      positions: none,
    },
    get kv(): never {
      throw new Error('no KV cache')
    },
    tokens: null,
  }
}
