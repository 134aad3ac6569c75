import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Sequence } from '../sequence/sequence.ts'
import { testRequest, tokenRange } from '../sequence/sequence-request.case.ts'
import { createRootHash, extendBlockHashes, hashBlock } from './block-hash.ts'

const root = createRootHash('seed')

describe('createRootHash', () => {
  it('is random unless seeded', () => {
    expect(createRootHash(null)).not.toBe(createRootHash(null))
    expect(createRootHash('a')).toBe(createRootHash('a'))
    expect(createRootHash('a')).not.toBe(createRootHash('b'))
    expect(createRootHash(null)).toHaveLength(32)
  })
})

describe('hashBlock', () => {
  it('hashes the documented bytes', () => {
    const bytes = Buffer.concat([
      Buffer.from(root, 'latin1'),
      Buffer.from([2, 0, 0, 0, 5, 0, 0, 0, 0x01, 0x02, 0x03, 0x04]),
      Buffer.from([1, 0, 0, 0, 4, 0, 0, 0, 0x41, 0, 0xe9, 0]),
    ])
    const expected = createHash('sha256').update(bytes).digest().toString('latin1')
    expect(hashBlock(root, [5, 0x04030201], ['A\u00e9'])).toBe(expected)
  })

  it('tells apart parents, tokens, their order and extra keys', () => {
    const hashes = [
      hashBlock(root, [1, 2]),
      hashBlock(root, [2, 1]),
      hashBlock(root, [1, 2, 0]),
      hashBlock(hashBlock(root, [1, 2]), [1, 2]),
      hashBlock(root, [1, 2], ['']),
      hashBlock(root, [1, 2], ['a']),
      hashBlock(root, [1, 2], ['a', 'b']),
      hashBlock(root, [1, 2], ['ab']),
      hashBlock(root, [1, 2], ['\ud800']),
      hashBlock(root, [1, 2], ['\ud801']),
    ]
    expect(new Set(hashes).size).toBe(hashes.length)
  })

  it('refuses ids that are no 32-bit integers', () => {
    expect(() => hashBlock(root, [-1])).toThrow(RangeError)
    expect(() => hashBlock(root, [2 ** 32])).toThrow(RangeError)
  })
})

describe('extendBlockHashes', () => {
  const options = { rootHash: root, blockSize: 4 }

  it('covers full blocks only, and grows with the output', () => {
    const sequence = new Sequence(testRequest('a', { promptTokenIds: tokenRange(0, 11) }))
    const first = [...extendBlockHashes(sequence, options)]
    expect(first).toHaveLength(2)
    expect(first[1]).toBe(hashBlock(first[0]!, tokenRange(0, 8).slice(4)))
    sequence.appendOutputToken(7)
    const second = extendBlockHashes(sequence, options)
    expect(second.slice(0, 2)).toEqual(first)
    expect(second[2]).toBe(hashBlock(first[1]!, [...tokenRange(0, 11).slice(8), 7]))
  })

  it('lets the salt of the first block reach all others', () => {
    const [plain, salted] = [null, 'tenant'].map((cacheSalt) => {
      const sequence = new Sequence(testRequest('a', { promptTokenIds: tokenRange(0, 12), cacheSalt }))
      return [...extendBlockHashes(sequence, options)]
    })
    expect(new Set([...plain!, ...salted!]).size).toBe(6)
  })

  it('keeps salts and other keys apart, whatever a salt says', () => {
    const salts = [null, '', 'long', 'rotation', 'rotation,long', 'long:']
    const chains = salts.flatMap((cacheSalt) =>
      [[], ['rotation', 'long'], ['rotation', 'other']].map((cacheKeys) => {
        const request = testRequest('a', { promptTokenIds: tokenRange(0, 8), cacheSalt, cacheKeys })
        return extendBlockHashes(new Sequence(request), options)[1]
      }),
    )
    expect(new Set(chains).size).toBe(chains.length)
  })
})
