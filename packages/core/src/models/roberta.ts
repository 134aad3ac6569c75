import { bertDesign } from './encoder-design.ts'
import { defineEncoder } from './encoder.ts'

/**
 * RoBERTa (Liu et al. 2019, arXiv:1907.11692) and XLM-RoBERTa (Conneau et al. 2019, arXiv:1911.02116): BERT with positions
 * behind that of padding and another classifier.
 */
export const definition = defineEncoder((config) => {
  const base = bertDesign(config)
  return {
    ...base,
    stack: 'roberta.',
    hasSegments: false,
    classifiers: {
      ...base.classifiers,
      texts: {
        dense: { name: 'classifier.dense', hasBias: true, activation: 'tanh', norm: null },
        output: 'classifier.out_proj',
      },
    },
  }
})
