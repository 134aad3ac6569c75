// A sampling step of one's own, in the engine; and the same from outside, with a request for each token.
import { LLM } from '@octavo/core'
import { typicalToken } from './parts/typical-token.ts'

const questions = [
  'Tell me a story about a fox.',
  'What is the capital of Norway?',
  'What is 47 + 35?',
  'Translate to Chinese: The old teacher is reading a new book in the library.',
]
const prompts = questions.map((text) => `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`)
const maxTokens = 64

async function inTheEngine(): Promise<number> {
  const llm = await LLM.load('octavo-tiny', {
    modules: [{ kind: 'sampler', name: 'typical', url: import.meta.resolve('./parts/typical-sampler.ts') }],
  })
  const start = performance.now()
  const outputs = await llm.generate(prompts, { maxTokens })
  const took = performance.now() - start
  for (const { outputs: samples } of outputs) console.log(samples[0]!.text)
  await llm.shutdown()
  return took
}

async function fromOutside(): Promise<number> {
  const llm = await LLM.load('octavo-tiny', { maxLogprobs: -1 })
  const { tokenizer } = llm
  const generate = async (prompt: string): Promise<string> => {
    const promptIds = tokenizer.encode(prompt)
    const ids: number[] = []
    while (ids.length < maxTokens && ids.at(-1) !== tokenizer.eosTokenId) {
      const [output] = await llm.generate([[...promptIds, ...ids]], { maxTokens: 1, logprobs: -1 })
      const logprobs = new Float32Array(tokenizer.vocabSize)
      for (const { tokenId, logprob } of output!.outputs[0]!.logprobs![0]!.top) logprobs[tokenId] = logprob
      ids.push(typicalToken(logprobs))
    }
    return tokenizer.decode(ids, { skipSpecialTokens: true })
  }
  const start = performance.now()
  const texts = await Promise.all(prompts.map(generate))
  const took = performance.now() - start
  for (const text of texts) console.log(text)
  await llm.shutdown()
  return took
}

const inside = await inTheEngine()
const outside = await fromOutside()
console.log(`${(outside / inside).toFixed(1)} times as fast in the engine`)
