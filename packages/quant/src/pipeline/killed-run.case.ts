/** A program that is killed: quantizes a fixture into a folder. */
import { fixturePath } from '../model/fixture-layers.case.ts'
import { pipeline } from './pipeline.ts'
import { simplePass } from './test-passes.case.ts'

const [fixture = '', target = ''] = process.argv.slice(2)
const data = Array.from({ length: 60 }, (_, i) => `text number ${i} of many, and what it says is ${i * i}`)
process.send?.('ready')
await pipeline(fixturePath(fixture), {
  backend: 'wasm',
  head: true,
  embedding: true,
  seed: 7,
  calibration: { data },
  maxActivationMemory: 1,
  maxBatchTokens: 128,
})
  .apply(simplePass({ bits: 4, groupSize: 16, isObserved: true }))
  .save(target, { maxShardSize: 50_000 })
process.disconnect?.()
