// Many prompts at once, in this process: they share the engine's batches.
import { LLM } from 'octavo'

const sentences = ['The old teacher is reading a new book in the library.', 'My sister does not like these red hats.']

const llm = await LLM.load('octavo-tiny')

const conversations = sentences.map(
  (sentence) => [{ role: 'user', content: `Translate to Chinese: ${sentence}` }] as const,
)
const outputs = await llm.chat(conversations, { temperature: 0 })
for (const [i, { outputs: answers }] of outputs.entries()) console.log(`${sentences[i]} → ${answers[0]?.text}`)

// The same, as it is being written.
for await (const { outputs: deltas } of llm.chatStream([{ role: 'user', content: 'What is 47 + 35?' }], {
  temperature: 0,
})) {
  process.stdout.write(deltas[0]?.text ?? '')
}
process.stdout.write('\n')
await llm.shutdown()
