// A linear method of one's own: how weights are kept and multiplied. This one rounds them to int8 while they load.
import { LLM } from '@octavo/core'

const question = 'Translate to Chinese: The old teacher is reading a new book in the library.'

async function report(name: string, llm: LLM): Promise<void> {
  const answer = await llm.infer(question, { temperature: 0 })
  console.log(`${name}: ${(llm.engine.info.weightBytes / 1e6).toFixed(1)} MB, ${answer}`)
  await llm.shutdown()
}

await report('as stored', await LLM.load('octavo-tiny'))

const int8 = { kind: 'linear-methods', name: 'int8', url: import.meta.resolve('./parts/int8-linear.ts') } as const
await report('int8', await LLM.load('octavo-tiny', { modules: [int8] }))
