// node-llama-cpp as a bench's engine (src/bench-engine.ts).
import { createRequire } from 'node:module'
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'

const { version } = createRequire(import.meta.url)('./node_modules/node-llama-cpp/package.json')

export async function createEngine({ modelPath, threads }) {
  const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error, maxThreads: threads })
  const model = await llama.loadModel({ modelPath })
  let context = null
  /** Sequences that nobody uses, and requests that wait for one, in the order of their arrival. */
  let free = []
  const waiting = []

  async function prepare({ numSeqs, maxModelLen }) {
    await context?.dispose()
    context = await model.createContext({ threads, batchSize: 512, contextSize: maxModelLen, sequences: numSeqs })
    free = Array.from({ length: numSeqs }, () => context.getSequence())
  }

  async function takeSequence() {
    return free.pop() ?? new Promise((resolve) => waiting.push(resolve))
  }

  async function giveBack(sequence) {
    await sequence.clearHistory()
    const next = waiting.shift()
    if (next === undefined) free.push(sequence)
    else next(sequence)
  }

  async function generate({ prompt, numTokens, onTokens, signal }) {
    const sequence = await takeSequence()
    try {
      let count = 0
      if (signal.aborted) return
      for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
        onTokens(1)
        if (++count === numTokens || signal.aborted) break
      }
    } finally {
      await giveBack(sequence)
    }
  }

  return {
    description: `node-llama-cpp ${version}`,
    prepare,
    generateAll: async (prompts, numTokens, onTokens) => {
      const { signal } = new AbortController()
      await Promise.all(
        prompts.map((prompt, i) => generate({ prompt, numTokens, onTokens: (count) => onTokens(i, count), signal })),
      )
    },
    generate,
    // Its own clean-up takes longer than the end of the process, which follows.
    shutdown: async () => {},
  }
}
