/** Texts in, vectors out: every embedder and classifier through the whole engine, against what the reference computes. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { listGoldenFolders } from '../models/golden-models.case.ts'
import { LLM } from './llm.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))

interface GoldenInput {
  readonly text: string
  readonly pair?: string
  readonly embedding?: readonly number[]
  readonly mean_normalized?: readonly number[]
  readonly probs?: readonly number[]
  readonly token_logits?: readonly (readonly number[])[]
}

function expectNear(actual: ArrayLike<number>, expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length)
  const largest = Math.max(...expected.map(Math.abs))
  expected.forEach((value, i) => expect(Math.abs(actual[i]! - value)).toBeLessThan(5e-5 * largest))
}

describe.each(listGoldenFolders(fixtures, ['embed', 'classify']))('%s', (folder) => {
  const path = `${fixtures}models/${folder}`
  const { inputs }: { inputs: readonly GoldenInput[] } = JSON.parse(readFileSync(`${path}/golden.json`, 'utf8'))
  const alone = inputs.filter(({ pair }) => pair === undefined)
  const pairs = inputs.filter(({ pair }) => pair !== undefined)
  const texts = alone.map(({ text }) => text)

  it('gives the golden vectors', async () => {
    await using llm = await LLM.load(path, { backend: 'cpu' })
    const tasks = llm.engine.models.flatMap((model) => model.tasks)
    expect(tasks).not.toContain('generate')
    if (tasks.includes('embed')) {
      const outputs = await llm.embed(texts)
      // Those of bert-embed are by all three ways of pooling.
      outputs.forEach(({ embedding }, i) => expectNear(embedding, alone[i]!.embedding ?? alone[i]!.mean_normalized!))
    } else if (tasks.includes('classify')) {
      const outputs = await llm.classify(texts)
      outputs.forEach(({ probs }, i) => expectNear(probs, alone[i]!.probs!))
    } else {
      const outputs = await llm.encode(texts, { task: 'token_classify', useActivation: false })
      outputs.forEach(({ data, shape }, i) => {
        expect(shape).toEqual([alone[i]!.token_logits!.length, 4])
        expectNear(data, alone[i]!.token_logits!.flat())
      })
    }
    if (!tasks.includes('classify') || pairs[0]?.probs?.length !== 1) return
    const scores = await llm.score(
      pairs.map(({ text }) => text),
      pairs.map(({ pair }) => pair!),
    )
    scores.forEach(({ score }, i) => expectNear([score], pairs[i]!.probs!))
  })
})
