import type { GenerateRequest } from '@octavo/core'
import { expect, it } from 'vitest'
import { whenFinished } from './engine-outputs.ts'
import { generateInTurns } from './generate-in-turns.ts'
import { FakeEngine } from './testing/fake-engine.ts'
import { turnPerPiece } from './testing/turn-per-piece.ts'

const requests = Array.from({ length: 20 }, (_, i): GenerateRequest => ({
  requestId: `r${i}`,
  prompt: { type: 'text', text: 'a' },
  params: { maxTokens: 1 },
}))

async function begun(signal: AbortSignal) {
  const [engine, { turns, numTurns }] = [new FakeEngine(), turnPerPiece()]
  const begun: { id: string; turn: number }[] = []
  const streams = generateInTurns(requests, {
    turns,
    signal,
    generate(request) {
      begun.push({ id: request.requestId, turn: numTurns() })
      return engine.generate(request, signal)
    },
  })
  const ends = await Promise.allSettled(streams.map(whenFinished))
  return { begun, ends }
}

it('each of many generations begins in a turn of its own, in order', async () => {
  const { begun: list, ends } = await begun(new AbortController().signal)
  expect(list.map(({ id }) => id)).toEqual(requests.map(({ requestId }) => requestId))
  expect(new Set(list.map(({ turn }) => turn)).size).toBe(20)
  expect(ends.every(({ status }) => status === 'fulfilled')).toBe(true)
})

it('none begins once nobody waits for it', async () => {
  const { begun: list, ends } = await begun(AbortSignal.abort(new Error('gone')))
  expect(list).toEqual([])
  expect(ends).toEqual(requests.map(() => ({ status: 'rejected', reason: new Error('gone') })))
})
