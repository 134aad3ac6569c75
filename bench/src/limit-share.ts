import { type BenchFormat, type BenchShape, numLayerWeights, numStepWeights, weightBytes } from './bench-shape.ts'

export interface BenchModel {
  readonly shape: BenchShape
  readonly format: BenchFormat
}

/**
 * Operations per second of a prefill at this rate: two per token and weight of the layers. Weights of 16 bits count double,
 * since processors multiply half as many of them as of int8.
 */
export function prefillOperations(tokensPerSecond: number, { shape, format }: BenchModel): number {
  const width = format === 'f16' || format === 'bf16' ? 2 : 1
  return 2 * numLayerWeights(shape) * width * tokensPerSecond
}

/** Bytes read per second: a step reads the layers and the output layer once for all sequences. The KV cache is not counted. */
export function decodeBytes(tokensPerSecond: number, numSeqs: number, { shape, format }: BenchModel): number {
  return (tokensPerSecond / numSeqs) * weightBytes(numStepWeights(shape), format)
}

/** Bytes read per second where a file of this size is loaded in this time. */
export function loadBytes(loadMs: number, fileBytes: number): number {
  return (1000 * fileBytes) / loadMs
}
