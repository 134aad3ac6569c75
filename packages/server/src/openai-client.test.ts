import { AsyncEngine } from '@octavo/core'
import { createApp } from './app.ts'
import { listen } from './listen.ts'
import { describeOpenAiClient } from './openai-client.case.ts'
import { FakeEngine } from './testing/fake-engine.ts'

describeOpenAiClient('a fake engine', async () => {
  const maxModelLen = 256
  const app = createApp({ engine: new FakeEngine({ maxModelLen }), version: '0.0.0', apiKeys: ['secret'] })
  const server = await listen(app, { port: 0 })
  return {
    baseURL: `${server.url}/v1`,
    model: 'fake',
    apiKey: 'secret',
    maxModelLen,
    hasChatTemplate: true,
    prompt: 'the quick brown fox jumps over one lazy dog',
    close: () => server.close(),
  }
})

describeOpenAiClient('the engine with the embedded model', async () => {
  const engine = await AsyncEngine.create({ model: 'octavo-tiny' })
  const server = await listen(createApp({ engine, version: '0.0.0' }), { port: 0 })
  return {
    baseURL: `${server.url}/v1`,
    model: 'octavo-tiny',
    apiKey: null,
    maxModelLen: engine.info.maxModelLen,
    hasChatTemplate: true,
    prompt: 'Translate to Chinese: The old teacher is reading a new book in the library.',
    close: async () => {
      await server.close()
      await engine.shutdown()
    },
  }
})
