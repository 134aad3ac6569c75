// A tokenizer of one's own. It works in this thread, so it is passed as a value.
import { LLM } from '@octavo/core'
import { createTokenizer } from '@octavo/core/tokenizer'
import { LongestMatchTokenizer } from './parts/longest-match-tokenizer.ts'

const llm = await LLM.load('octavo-tiny', {
  createTokenizer: (checkpoint) => new LongestMatchTokenizer(createTokenizer(checkpoint.readTokenizer())),
})
const ids = llm.tokenizer.encode('unbelievable')
console.log(ids.map((id) => llm.tokenizer.decode([id])).join('|'))
console.log(await llm.infer('What is the capital of Italy?', { temperature: 0 }))
await llm.shutdown()
