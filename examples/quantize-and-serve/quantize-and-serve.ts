// Quantizes a model to four bits, says what that cost, serves the result and asks it something.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nativeBackend, nativeProvider } from '@octavo/backend-native'
import { evaluate, formatEvaluation, gptq, pipeline } from '@octavo/quant'
import { OctavoClient } from '@octavo/sdk'
import { createApp, listen } from '@octavo/server'
import { AsyncEngine } from 'octavo'

const model = process.argv[2] ?? 'octavo-tiny'
const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'octavo-example-'))
const target = join(folder, 'octavo-tiny-int4')

// 1. Quantize: layer by layer, on conversations that are like those to come.
await pipeline(model, { calibration: { data: here('calibration.jsonl') }, providers: [nativeProvider] })
  .apply(gptq({ bits: 4, groupSize: 32 }))
  .save(target)

// 2. Evaluate: the same questions to both, and how far their probabilities are apart.
const evaluation = await evaluate({
  models: [target],
  against: model,
  data: [here('questions.jsonl')],
  speed: false,
  modules: [nativeBackend],
})
console.log(`${formatEvaluation(evaluation)}\n`)

// 3. Serve: a quantized checkpoint is a checkpoint like any other.
const engine = await AsyncEngine.create({ model: target, servedModelName: 'octavo-tiny-int4' })
const server = await listen(createApp({ engine, version: '1' }), { host: '127.0.0.1', port: 0 })

// 4. Ask.
const client = new OctavoClient({ baseUrl: server.url })
const answer = await client.chat.completions.create({
  model: 'octavo-tiny-int4',
  messages: [{ role: 'user', content: 'What is the capital of Norway?' }],
  temperature: 0,
})
console.log(answer.choices[0]?.message.content)

await server.close()
await engine.shutdown()
rmSync(folder, { recursive: true })
process.exit() // backends may hold threads of their own
