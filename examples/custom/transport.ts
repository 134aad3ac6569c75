// An engine behind another transport: a process of its own. Its errors have their classes and fields here too.
import { ContextLengthError, EngineDeadError } from '@octavo/core'
import { ProcessEngine } from './parts/process-engine.ts'

const engine = await ProcessEngine.start('octavo-tiny')

async function answer(requestId: string, content: string): Promise<string> {
  let text = ''
  const prompt = { type: 'chat', messages: [{ role: 'user', content }] } as const
  const params = { temperature: 0, maxTokens: null }
  for await (const { outputs } of engine.generate({ requestId, prompt, params, outputKind: 'delta' }))
    text += outputs[0]?.text ?? ''
  return text
}

console.log(await answer('a', 'What is 47 + 35?'))
await answer('b', 'word '.repeat(5000)).catch((error: unknown) => {
  if (!(error instanceof ContextLengthError)) throw error
  console.log(`${error.code}: at most ${error.maxModelLen} tokens`)
})
console.log(`${engine.metrics().generationTokens} tokens so far`)
const lost = answer('c', 'Tell me a story.')
setTimeout(() => engine.kill(), 20)
await lost.catch((error: unknown) => {
  if (!(error instanceof EngineDeadError)) throw error
  console.log(`${error.code}: ${error.message}`)
})
await engine.shutdown()
