import { describe, expect, it } from 'vitest'
import { InvalidConfigError } from '../errors.ts'
import { checkParallelSizes, type ParallelSizes } from './parallel-sizes.ts'

const dense = { numHeads: 12, numKvHeads: 4, intermediateSize: 100, numLayers: 3, moe: null }
const moe = {
  ...dense,
  moe: { numExperts: 5, numExpertsPerToken: 2, intermediateSize: 7, normTopkProb: true, layers: [true, true, true] },
}

describe('checkParallelSizes', () => {
  it.each<[string, typeof dense | typeof moe, Partial<ParallelSizes>]>([
    ['nothing', dense, {}],
    ['a divisor of all heads', dense, { tp: 2 }],
    ['more ranks than key/value heads', dense, { tp: 12 }],
    ['as many stages as layers', dense, { tp: 4, pp: 3 }],
    ['experts that do not divide', moe, { ep: 2 }],
    ['experts on the ranks of tp', moe, { tp: 4, ep: 4 }],
    ['experts on ranks that have the whole rest', moe, { tp: 1, pp: 2, ep: 5 }],
    ['experts that all ranks share', moe, { tp: 2, ep: 1 }],
  ])('takes %s', (_, config, sizes) => {
    expect(() => checkParallelSizes(config, sizes)).not.toThrow()
  })

  it.each<[typeof dense | typeof moe, Partial<ParallelSizes>, string]>([
    [dense, { tp: 3 }, 'tp: 3 ranks cannot share 12 query and 4 key/value heads evenly; use 1, 2, 4 or 12'],
    [dense, { tp: 8 }, 'tp: 8 ranks cannot share 12 query and 4 key/value heads evenly; use 1, 2, 4 or 12'],
    [moe, { tp: 12 }, 'tp: 12 ranks cannot share 7 intermediate features; use up to 7'],
    [dense, { tp: 0 }, 'tp: is 0'],
    [dense, { tp: 1.5 }, 'tp: is 1.5'],
    [dense, { pp: 4 }, 'pp: 4 stages cannot share 3 layers; use 1 to 3'],
    [dense, { ep: 2 }, 'ep: is 2, but the model has no experts'],
    [moe, { ep: 6 }, 'ep: 6 ranks cannot share 5 experts; use 1 to 5'],
    [moe, { tp: 4, ep: 2 }, 'ep: is 2 with tp 4; use 1 or 4, or leave tp at 1'],
  ])('refuses %o with %o', (config, sizes, message) => {
    expect(() => checkParallelSizes(config, sizes)).toThrow(InvalidConfigError)
    expect(() => checkParallelSizes(config, sizes)).toThrow(message)
  })
})
