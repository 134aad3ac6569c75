import { expect, test } from 'vitest'
import { numLayerWeights, numStepWeights, shapes, type BenchShape, weightBytes } from './bench-shape.ts'
import { decodeBytes, loadBytes, prefillOperations } from './limit-share.ts'

function shapeOf(name: string): BenchShape {
  const shape = shapes[name]
  if (shape === undefined) throw new Error(`no shape ${name}`)
  return shape
}

/** Parameters of the models as their makers count them, norms and biases (below 0.1 %) aside. */
test.each([
  ['tinyllama-1.1b', 1_100_048_384],
  ['qwen2.5-0.5b', 494_032_768],
  ['llama-3.2-1b', 1_235_814_400],
  ['smollm2-135m', 134_515_008],
])('%s has the weights of the real model', (name, numParameters) => {
  const shape = shapeOf(name)
  const embedding = shape.vocabSize * shape.hiddenSize
  const numWeights = numLayerWeights(shape) + embedding * (shape.isTied ? 1 : 2)
  expect(numWeights).toBeLessThanOrEqual(numParameters)
  expect(numWeights / numParameters).toBeGreaterThan(0.999)
})

test('a step of decoding reads the layers and the output layer once for all sequences', () => {
  const shape = shapeOf('tinyllama-1.1b')
  expect(numStepWeights(shape) - numLayerWeights(shape)).toBe(32_000 * 2048)
  const bytes = weightBytes(numStepWeights(shape), 'q8_0')
  expect(bytes).toBe((numStepWeights(shape) / 32) * 34)
  expect(decodeBytes(20, 1, { shape, format: 'q8_0' })).toBe(20 * bytes)
  expect(decodeBytes(160, 16, { shape, format: 'q8_0' })).toBe(10 * bytes)
})

test('a prompt token takes two operations per weight of the layers, twice as many in 16 bits', () => {
  const shape = shapeOf('tinyllama-1.1b')
  expect(prefillOperations(100, { shape, format: 'q4_0' })).toBe(200 * numLayerWeights(shape))
  expect(prefillOperations(100, { shape, format: 'bf16' })).toBe(400 * numLayerWeights(shape))
})

test('loading reads the file once', () => {
  expect(loadBytes(500, 1e9)).toBe(2e9)
})
