import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { expect, it } from 'vitest'
import { sendEventStream } from './event-stream.ts'
import { HttpError } from './http-error.ts'
import { openaiDialect } from './openai/dialect.ts'
import { readEvents } from './testing/read-events.ts'
import { turnPerPiece } from './testing/turn-per-piece.ts'

async function send(sent: readonly object[] | AsyncIterable<object>, pingMs: number | null = null) {
  const { turns, numTurns } = turnPerPiece()
  const app = Fastify()
  async function* events() {
    yield* sent
  }
  app.get('/', (_request, reply) =>
    sendEventStream(reply, events(), {
      dialect: openaiDialect,
      turns,
      pingMs,
      signal: new AbortController().signal,
      explain: () => new HttpError(500, 'no'),
    }),
  )
  const { body } = await app.inject('/')
  return { body, numTurns: numTurns() }
}

it('an event of many values is written in turns, and stays one event', async () => {
  const large = { list: Array.from({ length: 20_000 }, (_, i) => ({ token: `t\n\n${i}`, logprob: i / 3 })) }
  const { body, numTurns } = await send([{ a: 1 }, large, { b: 2 }])
  expect(readEvents(body)).toEqual([{ a: 1 }, large, { b: 2 }, '[DONE]'])
  expect(numTurns).toBeGreaterThanOrEqual(Math.floor(body.length / 65_536 / 2))
})

it('small events take no turns', async () => {
  expect(await send([{ a: 1 }, { b: [1, 'x'] }])).toEqual({
    body: 'data: {"a":1}\n\ndata: {"b":[1,"x"]}\n\ndata: [DONE]\n\n',
    numTurns: 0,
  })
})

it('pings while an event is waited for, between events, and no longer than that', async () => {
  async function* slow() {
    yield { a: 1 }
    yield { b: 2 }
    await sleep(250)
    yield { c: 3 }
  }
  const frames = (await send(slow(), 40)).body.split('\n\n')
  expect(frames.slice(0, 2)).toEqual(['data: {"a":1}', 'data: {"b":2}'])
  expect(frames.slice(-3)).toEqual(['data: {"c":3}', 'data: [DONE]', ''])
  const pings = frames.slice(2, -3)
  expect(pings.length).toBeGreaterThanOrEqual(2)
  // One for each 40 ms or a little more.
  expect(pings.length).toBeLessThanOrEqual(6)
  expect(pings.every((frame) => frame === ': ping')).toBe(true)
  expect((await send(slow(), null)).body).not.toContain('ping')
})
