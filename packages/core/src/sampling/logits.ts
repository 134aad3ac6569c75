import type { Tensor2D } from '@tensorflow/tfjs-core'

/** Rows of logits, which stay on the device until somebody reads one. */
export class Logits {
  readonly tensor: Tensor2D // [n, vocabSize]
  #values: Float32Array | null = null

  constructor(tensor: Tensor2D) {
    this.tensor = tensor
  }

  /** A copy. */
  row(index: number): Float32Array {
    const vocabSize = this.tensor.shape[1]
    this.#values ??= this.tensor.dataSync<'float32'>()
    return this.#values.slice(index * vocabSize, (index + 1) * vocabSize)
  }
}
