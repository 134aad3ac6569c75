// A model of one's own (vLLM's register_model): an architecture that Octavo does not know.
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { LLM } from '@octavo/core'
import { embeddedModelPath } from '@octavo/core/loading'

// The weights of octavo-tiny under another name, so that the answers can be compared.
const folder = await mkdtemp(path.join(tmpdir(), 'handmade-'))
await cp(embeddedModelPath('octavo-tiny'), folder, { recursive: true })
const { num_hidden_layers, ...config } = JSON.parse(await readFile(path.join(folder, 'config.json'), 'utf8'))
const handmade = {
  ...config,
  architectures: ['HandmadeForCausalLM'],
  model_type: 'handmade',
  num_blocks: num_hidden_layers,
}
await writeFile(path.join(folder, 'config.json'), JSON.stringify(handmade))

try {
  const llm = await LLM.load(folder, {
    modules: [{ kind: 'model', name: 'handmade', url: import.meta.resolve('./parts/handmade-model.ts') }],
  })
  const stock = await LLM.load('octavo-tiny')
  const question = 'Translate to Chinese: The old teacher is reading a new book in the library.'
  console.log('handmade:', await llm.infer(question, { temperature: 0 }))
  console.log('stock:   ', await stock.infer(question, { temperature: 0 }))
  await Promise.all([llm.shutdown(), stock.shutdown()])
} finally {
  await rm(folder, { recursive: true })
}
