// A logits processor of one's own: it changes what may come next, before a token is drawn.
import { LLM } from '@octavo/core'
import { embeddedModelPath, openCheckpoint } from '@octavo/core/loading'
import { createTokenizer } from '@octavo/core/tokenizer'

const checkpoint = await openCheckpoint(embeddedModelPath('octavo-tiny')!)
const tokenizer = createTokenizer(checkpoint.readTokenizer())
const ids = Array.from({ length: tokenizer.vocabSize }, (_, id) => id)
const tokenIds = ids.filter((id) => /[0-9]/.test(tokenizer.decode([id])))

await using llm = await LLM.load('octavo-tiny', {
  modules: [
    {
      kind: 'logits-processors',
      name: 'no-digits',
      url: import.meta.resolve('./parts/ban-tokens.ts'),
      options: { tokenIds },
    },
  ],
})
console.log('without digits:', await llm.infer('What is 47 + 35?', { temperature: 0, maxTokens: 16 }))
