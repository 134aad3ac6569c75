// A scheduling policy of one's own: who runs first, and who gives way.
import { LLM } from '@octavo/core'

const llm = await LLM.load('octavo-tiny', {
  maxNumSeqs: 1,
  modules: [
    { kind: 'scheduling-policy', name: 'shortest-first', url: import.meta.resolve('./parts/shortest-first.ts') },
  ],
})
// The first finds the engine idle and runs at once; the others wait behind it.
const prompts = [
  'The teacher is',
  'My sister does not like these red hats, and my brother does not like them either',
  'The old teacher is reading a new book',
  'My sister',
]
const ended: string[] = []
await Promise.all(
  prompts.map(async (prompt) => {
    await llm.generate(prompt, { maxTokens: 8, temperature: 0 })
    ended.push(prompt)
  }),
)
for (const prompt of ended) console.log(prompt)
await llm.shutdown()
