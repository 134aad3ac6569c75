// An executor of one's own: where and how the engine's plans run.
import { LLM } from '@octavo/core'

const counts = new Int32Array(new SharedArrayBuffer(12))
const llm = await LLM.load('octavo-tiny', {
  modules: [
    {
      kind: 'executor',
      name: 'counting',
      url: import.meta.resolve('./parts/counting-executor.ts'),
      options: { counts },
    },
  ],
})
const questions = ['What is 47 + 35?', 'What is the capital of Norway?', 'What is the capital of Italy?']
const outputs = await llm.chat(
  questions.map((content) => [{ role: 'user', content }] as const),
  { temperature: 0 },
)
for (const { outputs: answers } of outputs) console.log(answers[0]?.text)
console.log(`${counts[0]} plans, ${counts[1]} tokens, up to ${counts[2]} sequences at once`)
await llm.shutdown()
