// What llama.cpp generates greedily, with what it was torn between (bench/gguf.ts).
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'

/** Of each prompt (token ids): tokens, and at each position the log probabilities of the two best. */
export async function greedyTokens({ modelPath, prompts, numTokens }) {
  // Its threads wait for each other by spinning: with more than one it stands still where others need the processors.
  const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error, maxThreads: 1 })
  const model = await llama.loadModel({ modelPath })
  const context = await model.createContext({ threads: 1, contextSize: 512, batchSize: 128 })
  const sequence = context.getSequence()
  const outputs = []
  for (const prompt of prompts) {
    await sequence.clearHistory()
    const steps = []
    const options = { temperature: 0, yieldEogToken: true }
    for await (const { token, probabilities } of sequence.evaluateWithMetadata(
      prompt,
      { probabilities: true },
      options,
    )) {
      steps.push({
        token,
        logprobs: new Map([...probabilities].map(([id, probability]) => [id, Math.log(probability)])),
      })
      if (steps.length === numTokens) break
    }
    outputs.push(steps)
  }
  await context.dispose()
  await model.dispose()
  return outputs
}
