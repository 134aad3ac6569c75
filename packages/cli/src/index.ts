export { LLM, loadModel } from '@octavo/core'
