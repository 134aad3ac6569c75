// A conversation in the terminal that remembers what was said. Ctrl-D ends it.
import { createInterface } from 'node:readline'
import { type ChatMessage, LLM } from 'octavo'

const llm = await LLM.load(process.argv[2] ?? 'octavo-tiny')
const messages: ChatMessage[] = []

process.stdout.write('> ')
for await (const line of createInterface({ input: process.stdin })) {
  messages.push({ role: 'user', content: line })
  let answer = ''
  for await (const { outputs } of llm.chatStream(messages)) {
    const delta = outputs[0]?.text ?? ''
    answer += delta
    process.stdout.write(delta)
  }
  messages.push({ role: 'assistant', content: answer })
  process.stdout.write('\n> ')
}
await llm.shutdown()
