import type { ModelActivation } from '../config/activation.ts'

/** Of a class ForSequenceClassification, on the pooled row, and of one ForTokenClassification, on each. */
export interface ClassifierDesigns {
  readonly texts: ClassifierDesign
  readonly tokens: ClassifierDesign
}

/** What makes logits of a row, of a text or a token: perhaps a dense layer, then that of the labels. */
export interface ClassifierDesign {
  readonly dense: DenseDesign | null
  readonly output: string
}

export interface DenseDesign {
  readonly name: string
  readonly hasBias: boolean
  readonly activation: ModelActivation | 'tanh'
  /** Behind the activation. */
  readonly norm: string | null
}
