// An OpenAI-compatible server inside a program of your own.
import { createApp, listen } from '@octavo/server'
import { AsyncEngine } from 'octavo'

const engine = await AsyncEngine.create({ model: process.argv[2] ?? 'octavo-tiny' })
const app = createApp({ engine, version: '0.0.0' })
const server = await listen(app, { host: '127.0.0.1', port: Number(process.env['PORT'] ?? 8000) })
console.log(`serving at ${server.url}/v1`)

process.once('SIGINT', async () => {
  await server.close()
  await engine.shutdown()
})
