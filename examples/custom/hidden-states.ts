// Ops of TensorFlow.js on the hidden states of a model that Octavo knows.
import { LLM } from '@octavo/core'

const question = 'What is the capital of Norway?'

async function report(name: string, llm: LLM): Promise<void> {
  console.log(name, await llm.infer(question, { temperature: 0 }))
  await llm.shutdown()
}

await report('stock:  ', await LLM.load('octavo-tiny'))

const steered = { kind: 'model', name: 'steered', url: import.meta.resolve('./parts/steered-model.ts') } as const
await report('steered:', await LLM.load('octavo-tiny', { modules: [steered] }))
