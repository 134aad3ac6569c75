import { describe, expect, it } from 'vitest'
import type { EngineModule } from '../config/engine-module.ts'
import type { RequestOutput } from '../sequence/outputs.ts'
import type { SamplingParamsInput } from '../sampling-params.ts'
import { LLM } from './llm.ts'

/** Proposes what followed the last token when the sequence had it before, and every third time spoils it from the second token on. */
const source = `export const createDraftProposer = (context, { numTokens }) => {
  let numProposed = 0
  return {
    propose(sequence) {
      const tokenIds = sequence.tokenIds()
      const found = tokenIds.lastIndexOf(tokenIds.at(-1), tokenIds.length - 2)
      if (found === -1) return []
      const drafts = tokenIds.slice(found + 1, found + 1 + numTokens)
      return ++numProposed % 3 === 0 ? drafts.map((id, i) => (i === 0 ? id : id + 1)) : drafts
    },
  }
}`
const lookup: EngineModule = {
  kind: 'draft-proposer',
  name: 'lookup',
  url: `data:text/javascript,${encodeURIComponent(source)}`,
  options: { numTokens: 5 },
}

const prompts = [
  'one two three four one two three four one two three four one two',
  'The cat sleeps. The dog sleeps. The cat sleeps. The dog sleeps. The cat',
  'Translate to French: The old cat sleeps. The old dog sleeps. The old cat',
]

const params: readonly SamplingParamsInput[] = [
  { temperature: 0, logprobs: 2 },
  { temperature: 0, logprobs: 1, promptLogprobs: 1, ignoreEos: true },
  { temperature: 0, stop: ['colour colour co'], logprobs: 0, ignoreEos: true },
  { temperature: 0, stop: ['our col'], minTokens: 3, includeStopStrInOutput: true, ignoreEos: true },
  { temperature: 0.7, n: 3, seed: 1, logprobs: 1, frequencyPenalty: 0.1 },
  { temperature: 1, n: 2, seed: 2, topP: 0.9, stop: ['a'], ignoreEos: true },
]

describe('an engine with drafts', () => {
  it('gives what it gives without, in fewer steps: text, tokens, logprobs, reasons', async () => {
    const run = async (modules: readonly EngineModule[]): Promise<{ outputs: RequestOutput[]; numSteps: number }> => {
      await using llm = await LLM.load('octavo-tiny', { modules, maxNumSeqs: 32 })
      const outputs: RequestOutput[] = []
      for (const prompt of prompts)
        outputs.push(
          ...(await llm.generate(
            params.map(() => prompt),
            params.map((p) => ({ maxTokens: 40, ...p })),
          )),
        )
      return { outputs, numSteps: llm.engine.metrics().numSteps }
    }
    const [plain, drafted] = [await run([]), await run([lookup])]
    const withoutIds = (outputs: readonly RequestOutput[]) =>
      outputs.map(({ requestId: _, numCachedTokens: __, ...output }) => output)
    expect(withoutIds(drafted.outputs)).toEqual(withoutIds(plain.outputs))
    expect(drafted.numSteps).toBeLessThan(plain.numSteps)
    const reasons = new Set(
      drafted.outputs.flatMap(({ outputs }) =>
        outputs.map(({ finishReason, stopReason }) => stopReason ?? finishReason),
      ),
    )
    expect(reasons).toEqual(new Set(['stop', 'length', 'a', 'colour colour co', 'our col']))
  })
})
