// A logits processor of one's own: it changes what may come next, before a token is drawn.
import { LLM } from '@octavo/core'
import { embeddedModelPath, openCheckpoint } from '@octavo/core/loading'
import { createTokenizer } from '@octavo/core/tokenizer'

const checkpoint = await openCheckpoint(embeddedModelPath('octavo-tiny'))
const tokenizer = createTokenizer(checkpoint.readTokenizer())
const ids = Array.from({ length: tokenizer.vocabSize }, (_, id) => id)
const tokenIds = ids.filter((id) => /cat/.test(tokenizer.decode([id])))

const llm = await LLM.load('octavo-tiny', {
  modules: [
    {
      kind: 'logits-processors',
      name: 'no-cat',
      url: import.meta.resolve('./parts/ban-tokens.ts'),
      options: { tokenIds },
    },
  ],
})
console.log(await llm.infer('Tell me a story about a fox.', { temperature: 0 }))
await llm.shutdown()
