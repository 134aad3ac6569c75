// Prints what the fused ops give for odd sizes, as JSON: run once per instruction set, which is chosen as they are loaded.
import { setBackend } from '@tensorflow/tfjs-core'
import { addRmsNorm } from '../../ops/rms-norm.ts'
import { gatedActivation } from '../../ops/gated-activation.ts'
import { kvWrite } from '../../ops/kv-write.ts'
import { linear } from '../../ops/linear.ts'
import { pagedAttention } from '../../ops/paged-attention.ts'
import { RandomData } from '../../ops/random-data.case.ts'
import { rotaryEmbedding } from '../../ops/rotary-embedding.ts'
import { createTensorflowPack } from './tensorflow-pack.ts'

const pack = await createTensorflowPack()
await setBackend(pack.name)
const random = new RandomData(60)
const results: number[] = []

for (const format of ['float32', 'bfloat16'] as const) {
  const weight = random.weight(pack, format, [37, 45])
  for (const rows of [1, 3, 20, 70]) {
    results.push(...linear(random.matrix(rows, 45), weight, random.vector(37)).dataSync())
  }
}
const { normed, sum } = addRmsNorm(random.matrix(5, 45), random.matrix(5, 45), random.vector(45), 1e-5)
results.push(...normed.dataSync(), ...sum.dataSync())
for (const kind of ['silu', 'gelu_tanh', 'swiglu_oss'] as const) {
  results.push(...gatedActivation(random.matrix(5, 42), kind).dataSync())
}
const positions = Int32Array.of(0, 3, 9)
results.push(
  ...rotaryEmbedding(random.matrix(3, 40), random.matrix(10, 14), { positions, headDim: 20, rotaryDim: 14 }).dataSync(),
)

for (const dtype of ['float32', 'bfloat16'] as const) {
  const kv = pack.createKvStorage({ dtype, numLayers: 1, numBlocks: 12, blockSize: 16, numKvHeads: 2, headDim: 20 })
  const slotMapping = Int32Array.from({ length: 160 }, (_, i) => i + 16)
  kvWrite(random.matrix(160, 40), random.matrix(160, 40), { kv, layer: 0, slotMapping })
  const metadata = {
    numTokens: 30,
    numSeqs: 2,
    blockSize: 16,
    queryStartLoc: Int32Array.of(0, 29, 30),
    seqLens: Int32Array.of(100, 75),
    blockTables: Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 7, 6, 5, 4, 0, 0),
    maxBlocksPerSeq: 7,
    slotMapping: new Int32Array(30),
    positions: new Int32Array(30),
  }
  for (const [slidingWindow, softcap] of [
    [null, null],
    [40, 5],
  ] as const) {
    const options = { kv, layer: 0, metadata, numHeads: 6, scale: 0.3, slidingWindow, softcap, sinks: random.vector(6) }
    results.push(...pagedAttention(random.matrix(30, 120), options).dataSync())
  }
}
process.stdout.write(JSON.stringify(results))
