/**
 * A decoder of the same shape as it would be written with TensorFlow.js's public ops alone, in a process of its own, on
 * the same tfjs backend: SHAPE → one line of JSON. Weights are random and lie as the products want them; sequences of a
 * batch are of one length, so that nothing is padded; the cache grows by `concat`.
 */
import * as tf from '@tensorflow/tfjs-core'
import { createBackend } from '@octavo/core'
import { shapes } from './src/bench-shape.ts'

interface Plan {
  readonly prefill: readonly number[]
  readonly decode: readonly number[]
  readonly promptLength: number
  readonly numTokens: number
}

const [shapeName = ''] = process.argv.slice(2)
const shape = shapes[shapeName]
if (shape === undefined) throw new Error(`Unknown shape ${shapeName}.`)
const plan = JSON.parse(process.env['BENCH_PLAN'] ?? '{}') as Plan
const { numLayers, hiddenSize, intermediateSize, numHeads, numKvHeads, headDim, vocabSize } = shape
const shared = numHeads / numKvHeads

await createBackend('tensorflow')
const weight = (rows: number, columns: number): tf.Tensor2D => tf.randomUniform([rows, columns], -0.02, 0.02)
const embedding = weight(vocabSize, hiddenSize)
const ones: tf.Tensor1D = tf.ones([hiddenSize])
const layers = Array.from({ length: numLayers }, () => ({
  query: weight(hiddenSize, numHeads * headDim),
  key: weight(hiddenSize, numKvHeads * headDim),
  value: weight(hiddenSize, numKvHeads * headDim),
  output: weight(numHeads * headDim, hiddenSize),
  gate: weight(hiddenSize, intermediateSize),
  up: weight(hiddenSize, intermediateSize),
  down: weight(intermediateSize, hiddenSize),
}))

/** Per layer `[batch, numKvHeads, length, headDim]`. */
interface Cache {
  keys: tf.Tensor4D
  values: tf.Tensor4D
}

function norm(x: tf.Tensor3D): tf.Tensor3D {
  return tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-5))), ones)
}

/** x `[batch, heads, n, headDim]`, angles `[n, headDim / 2]`. */
function rotate(x: tf.Tensor4D, cos: tf.Tensor2D, sin: tf.Tensor2D): tf.Tensor4D {
  const [first, second] = tf.split(x, 2, 3)
  if (first === undefined || second === undefined) throw new Error('two halves')
  return tf.concat(
    [tf.sub(tf.mul(first, cos), tf.mul(second, sin)), tf.add(tf.mul(second, cos), tf.mul(first, sin))],
    3,
  )
}

function project(x: tf.Tensor3D, matrix: tf.Tensor2D): tf.Tensor3D {
  const [batch, n, features] = x.shape
  const rows: tf.Tensor2D = tf.reshape(x, [batch * n, features])
  return tf.reshape(tf.matMul(rows, matrix), [batch, n, -1])
}

function heads(x: tf.Tensor3D, count: number): tf.Tensor4D {
  const [batch, n] = x.shape
  return tf.transpose(tf.reshape(x, [batch, n, count, headDim]), [0, 2, 1, 3])
}

/** ids `[batch, n]` behind `past` tokens → logits of the last position, read to the host as sampling needs. */
function forward(ids: tf.Tensor2D, caches: Cache[], past: number): Float32Array {
  const [batch, n] = ids.shape
  const [logits, ...grown] = tf.tidy((): tf.Tensor[] => {
    const frequencies = tf.pow(10_000, tf.div(tf.range(0, headDim, 2), -headDim))
    const angles: tf.Tensor2D = tf.mul(tf.expandDims(tf.range(past, past + n), 1), tf.expandDims(frequencies, 0))
    const [cos, sin] = [tf.cos(angles), tf.sin(angles)]
    const mask =
      n === 1
        ? null
        : tf.mul(tf.sub(1, tf.linalg.bandPart(tf.ones([n, past + n]), -1, tf.scalar(past, 'int32'))), -1e30)
    let x: tf.Tensor3D = tf.reshape(tf.gather(embedding, tf.reshape(ids, [batch * n])), [batch, n, hiddenSize])
    const kept: tf.Tensor[] = []
    layers.forEach((layer, i) => {
      const normed = norm(x)
      const query = rotate(heads(project(normed, layer.query), numHeads), cos, sin)
      const newKeys = rotate(heads(project(normed, layer.key), numKvHeads), cos, sin)
      const newValues = heads(project(normed, layer.value), numKvHeads)
      const cache = caches[i]
      const keys = cache === undefined ? newKeys : tf.concat([cache.keys, newKeys], 2)
      const values = cache === undefined ? newValues : tf.concat([cache.values, newValues], 2)
      kept.push(keys, values)
      // Heads that share keys become rows of one product.
      const grouped = tf.reshape(query, [batch, numKvHeads, shared * n, headDim])
      let scores: tf.Tensor = tf.mul(tf.matMul(grouped, keys, false, true), headDim ** -0.5)
      if (mask !== null) scores = tf.add(tf.reshape(scores, [batch, numKvHeads, shared, n, past + n]), mask)
      const weights: tf.Tensor4D = tf.reshape(tf.softmax(scores), [batch, numKvHeads, shared * n, past + n])
      const attended = tf.reshape(tf.matMul(weights, values), [batch, numHeads, n, headDim])
      const joined: tf.Tensor3D = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [batch, n, numHeads * headDim])
      x = tf.add(x, project(joined, layer.output))
      const again = norm(x)
      const gate = project(again, layer.gate)
      const hidden: tf.Tensor3D = tf.mul(tf.mul(gate, tf.sigmoid(gate)), project(again, layer.up))
      x = tf.add(x, project(hidden, layer.down))
    })
    const last: tf.Tensor2D = tf.reshape(tf.slice(norm(x), [0, n - 1, 0], [batch, 1, hiddenSize]), [batch, hiddenSize])
    return [tf.matMul(last, embedding, false, true), ...kept]
  })
  const values = logits!.dataSync<'float32'>()
  logits!.dispose()
  caches.forEach(({ keys, values: old }) => tf.dispose([keys, old]))
  layers.forEach((_, i) => {
    caches[i] = { keys: grown[2 * i] as tf.Tensor4D, values: grown[2 * i + 1] as tf.Tensor4D }
  })
  return values
}

function idsOf(batch: number, length: number, seed: number): tf.Tensor2D {
  const values = Int32Array.from({ length: batch * length }, (_, i) => 100 + ((seed * 31 + i * 7) % 2000))
  return tf.tensor2d(values, [batch, length], 'int32')
}

function disposeCaches(caches: Cache[]): void {
  for (const { keys, values } of caches) tf.dispose([keys, values])
}

function prefill(length: number): number {
  const ids = idsOf(1, length, length)
  const caches: Cache[] = []
  const start = performance.now()
  forward(ids, caches, 0)
  const seconds = (performance.now() - start) / 1000
  disposeCaches(caches)
  ids.dispose()
  return length / seconds
}

/** The prompts' part of the cache is random: how long decoding takes does not depend on it. */
function decode(batch: number): number {
  const random = (): tf.Tensor4D => tf.randomUniform([batch, numKvHeads, plan.promptLength, headDim], -1, 1)
  const caches: Cache[] = layers.map(() => ({ keys: random(), values: random() }))
  const ids = idsOf(batch, 1, batch)
  forward(ids, caches, plan.promptLength)
  const start = performance.now()
  for (let step = 1; step <= plan.numTokens; step++) forward(ids, caches, plan.promptLength + step)
  const seconds = (performance.now() - start) / 1000
  disposeCaches(caches)
  ids.dispose()
  return (batch * plan.numTokens) / seconds
}

prefill(16)
const result = {
  prefill: Object.fromEntries(plan.prefill.map((length) => [length, prefill(length)])),
  decode: Object.fromEntries(plan.decode.map((count) => [count, decode(count)])),
}
console.log(JSON.stringify(result))
