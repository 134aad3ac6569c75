import Fastify from 'fastify'
import { expect, it } from 'vitest'
import { sendEventStream } from './event-stream.ts'
import { HttpError } from './http-error.ts'
import { openaiDialect } from './openai/dialect.ts'
import { readEvents } from './testing/read-events.ts'
import { turnPerPiece } from './testing/turn-per-piece.ts'

async function send(sent: readonly object[]) {
  const { turns, numTurns } = turnPerPiece()
  const app = Fastify()
  async function* events() {
    yield* sent
  }
  app.get('/', (_request, reply) =>
    sendEventStream(reply, events(), {
      dialect: openaiDialect,
      turns,
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
