import { createHash, randomBytes } from 'node:crypto'
import type { Sequence, SequenceRequest } from '../sequence/sequence.ts'

/**
 * SHA-256 that names the content of a full block and of everything before it: 32 bytes as a latin1 string,
 * which `Map` hashes and compares fast.
 *
 * Hashed bytes, integers as unsigned 32-bit little-endian:
 *
 *     parent hash (32) | number of tokens | token ids | number of extra keys | per key: number of bytes, UTF-16LE bytes
 *
 * Every part is preceded by its length, so that two different inputs never give the same bytes; UTF-16LE rather than
 * UTF-8, which would fold all lone surrogates into one. Extra keys are what tells apart KV of equal tokens: the cache
 * salt, if there is one, then pairs of a kind and a value, so that no salt can say what a pair says; on the first block
 * only, for the chain carries them on.
 */
export type BlockHash = string

const hashLength = 32

/** The parent of first blocks. Random unless seeded, so that nobody outside can compute hashes and probe for collisions. */
export function createRootHash(seed: string | null): BlockHash {
  if (seed === null) return randomBytes(hashLength).toString('latin1')
  return createHash('sha256').update(seed, 'utf16le').digest('binary')
}

export function hashBlock(
  parent: BlockHash,
  tokenIds: readonly number[],
  extraKeys: readonly string[] = [],
): BlockHash {
  const keys = extraKeys.map((key) => Buffer.from(key, 'utf16le'))
  const numKeyBytes = keys.reduce((sum, key) => sum + 4 + key.length, 0)
  const bytes = Buffer.allocUnsafe(hashLength + 4 + 4 * tokenIds.length + 4 + numKeyBytes)
  let offset = bytes.write(parent, 'latin1')
  offset = bytes.writeUInt32LE(tokenIds.length, offset)
  for (const tokenId of tokenIds) offset = bytes.writeUInt32LE(tokenId, offset)
  offset = bytes.writeUInt32LE(keys.length, offset)
  for (const key of keys) {
    offset = bytes.writeUInt32LE(key.length, offset)
    offset += key.copy(bytes, offset)
  }
  return createHash('sha256').update(bytes).digest('binary')
}

export interface BlockHasherOptions {
  readonly rootHash: BlockHash
  readonly blockSize: number
}

/** Extends `sequence.blockHashes` to all full blocks of its tokens; each block is hashed once in a sequence's life. */
export function extendBlockHashes(
  sequence: Sequence,
  { rootHash, blockSize }: BlockHasherOptions,
): readonly BlockHash[] {
  const { blockHashes } = sequence
  const numFullBlocks = Math.floor(sequence.numTokens / blockSize)
  while (blockHashes.length < numFullBlocks) {
    const index = blockHashes.length
    const tokenIds = sequence.tokenIds(index * blockSize, (index + 1) * blockSize)
    const extraKeys = index === 0 ? firstBlockKeys(sequence.request) : []
    blockHashes.push(hashBlock(blockHashes.at(-1) ?? rootHash, tokenIds, extraKeys))
  }
  return blockHashes
}

function firstBlockKeys({ cacheSalt, cacheKeys = [] }: SequenceRequest): readonly string[] {
  return cacheSalt === null ? cacheKeys : [cacheSalt, ...cacheKeys]
}
