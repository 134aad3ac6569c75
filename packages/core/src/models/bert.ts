import { bertDesign } from './encoder-design.ts'
import { defineEncoder } from './encoder.ts'

/** BERT (Devlin et al. 2018, arXiv:1810.04805). */
export const definition = defineEncoder(bertDesign)
