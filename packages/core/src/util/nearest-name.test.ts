import { describe, expect, it } from 'vitest'
import { nearestName } from './nearest-name.ts'

describe('nearestName', () => {
  const names = ['maxNumSeqs', 'maxModelLen', 'blockSize', 'seed']

  it.each([
    ['maxNumSeq', 'maxNumSeqs'],
    ['maxnumseqs', 'maxNumSeqs'],
    ['blocksSize', 'blockSize'],
    ['sead', 'seed'],
    ['maxSeqLen', null],
    ['tensorParallelSize', null],
    ['', null],
  ])('%j: %j', (name, nearest) => expect(nearestName(name, names)).toBe(nearest))
})
