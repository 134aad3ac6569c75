import type { BenchEngine, EngineOptions } from './bench-engine.ts'

/** Answers at once. Its `modelPath` says what goes wrong: `throw` at loading, `exit` in the first measurement. */
export async function createEngine({ modelPath }: EngineOptions): Promise<BenchEngine> {
  if (modelPath === 'throw') throw new Error('the model is broken')
  return {
    description: `fake of ${modelPath}`,
    prepare: async () => {
      if (modelPath === 'exit') process.exit(3)
    },
    generateAll: async (prompts, numTokens, onTokens) => {
      for (let i = 0; i < numTokens; i++) for (const sequence of prompts.keys()) onTokens(sequence, 1)
    },
    generate: async ({ numTokens, onTokens }) => onTokens(numTokens),
    shutdown: async () => {},
  }
}
