// A sampling step of one's own, in the engine; and the same from outside, with a request for each token.
import { LLM } from '@octavo/core'
import { typicalToken } from './parts/typical-token.ts'

const prompt = 'The old teacher is reading'
const numTokens = 64

/** Tokens for the time of one. */
async function inTheEngine(): Promise<number> {
  await using llm = await LLM.load('octavo-tiny', {
    modules: [{ kind: 'sampler', name: 'typical', url: import.meta.resolve('./parts/typical-sampler.ts') }],
  })
  await llm.generate(prompt, { maxTokens: 1 })
  const start = performance.now()
  const [output] = await llm.generate(prompt, { maxTokens: numTokens, ignoreEos: true })
  const took = performance.now() - start
  console.log('in the engine:', JSON.stringify(llm.tokenizer.decode(output!.outputs[0]!.tokenIds)))
  return took
}

async function fromOutside(): Promise<number> {
  await using llm = await LLM.load('octavo-tiny', { maxLogprobs: -1 })
  const promptIds = llm.tokenizer.encode(prompt)
  const tokenIds: number[] = []
  await llm.generate(prompt, { maxTokens: 1 })
  const start = performance.now()
  while (tokenIds.length < numTokens) {
    const [output] = await llm.generate([[...promptIds, ...tokenIds]], { maxTokens: 1, logprobs: -1 })
    const logprobs = new Float32Array(llm.tokenizer.vocabSize).fill(-Infinity)
    for (const { tokenId, logprob } of output!.outputs[0]!.logprobs![0]!.top) logprobs[tokenId] = logprob
    tokenIds.push(typicalToken(logprobs))
  }
  const took = performance.now() - start
  console.log('from outside: ', JSON.stringify(llm.tokenizer.decode(tokenIds)))
  return took
}

const [inside, outside] = [await inTheEngine(), await fromOutside()]
console.log(`${(outside / inside).toFixed(1)} times as fast in the engine`)
