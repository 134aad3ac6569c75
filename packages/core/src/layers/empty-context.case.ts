import type { ForwardContext } from './forward-context.ts'

/** For layers that use no KV cache. */
export function emptyContext(): ForwardContext {
  const none = new Int32Array(0)
  const context = {
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
    tokens: null,
  }
  const kv = {
    get(): never {
      throw new Error('no KV cache')
    },
  }
  // Not enumerable: whoever copies the context does not use it.
  return Object.defineProperty(context, 'kv', kv) as typeof context & { kv: never }
}
