import { llamaDesign } from './decoder-design.ts'
import { defineDecoder } from './decoder.ts'

/** Llama 1 to 3 (Touvron et al. 2023, arXiv:2302.13971; Dubey et al. 2024, arXiv:2407.21783). */
export const definition = defineDecoder(llamaDesign)
