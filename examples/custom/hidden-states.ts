// Ops of TensorFlow.js on the hidden states of a model that Octavo knows.
import { LLM } from '@octavo/core'

const question = 'What is the capital of Norway?'

{
  await using llm = await LLM.load('octavo-tiny')
  console.log('stock:  ', await llm.infer(question, { temperature: 0 }))
}

await using llm = await LLM.load('octavo-tiny', {
  modules: [{ kind: 'model', name: 'steered', url: import.meta.resolve('./parts/steered-model.ts') }],
})
console.log('steered:', await llm.infer(question, { temperature: 0 }))
