// One model on four ranks: two stages of layers, each shared by two threads. Tokens are those of one rank.
import { LLM } from 'octavo'

const llm = await LLM.load('octavo-tiny', { parallel: { tp: 2, pp: 2 } })
for (const [rank, { layers, numKvHeads, weightBytes }] of llm.engine.info.ranks.entries())
  console.log(`rank ${rank}: layers ${layers.start} to ${layers.end - 1}, ${numKvHeads} KV head, ${weightBytes} bytes`)
console.log(await llm.infer('What is 47 + 35?', { temperature: 0 }))
await llm.shutdown()
