import { connect, type Socket } from 'node:net'
import type { GenerateRequest, RequestOutput } from '@octavo/core'
import { expect, it } from 'vitest'
import { createApp } from './app.ts'
import { listen } from './listen.ts'
import { FakeEngine } from './testing/fake-engine.ts'

const pieceBytes = 16_384
const piece = 'w'.repeat(pieceBytes)
const sample = {
  index: 0,
  text: piece,
  tokenIds: [1],
  logprobs: null,
  cumulativeLogprob: null,
  stopReason: null,
  message: null,
}

/** Has as much to say as anybody takes, and keeps nothing of it. */
class EndlessEngine extends FakeEngine {
  numPieces = 0
  numRunning = 0

  override async *generate({ requestId }: GenerateRequest, signal?: AbortSignal): AsyncGenerator<RequestOutput> {
    this.numRunning++
    try {
      for (;;) {
        signal?.throwIfAborted()
        this.numPieces++
        const outputs = [{ ...sample, finishReason: null }]
        yield {
          requestId,
          prompt: 'a',
          promptTokenIds: [1],
          promptLogprobs: null,
          numCachedTokens: 0,
          outputs,
          finished: false,
        }
        await new Promise((resolve) => setImmediate(resolve))
      }
    } finally {
      this.numRunning--
    }
  }
}

/** What this process holds, besides what the system's socket buffers do. */
function heldBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

it('200 readers that take nothing are made nothing for, hold no memory, and are disconnected', async () => {
  const engine = new EndlessEngine()
  const server = await listen(createApp({ engine, writeTimeoutMs: 4_000, drainTimeoutMs: 0 }), { port: 0 })
  const before = heldBytes()
  const body = JSON.stringify({ prompt: 'a', stream: true })
  const head = `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
  const readers: Socket[] = Array.from({ length: 200 }, () => {
    const socket = connect(server.port, '127.0.0.1')
      .on('error', () => undefined)
      .pause()
    socket.write(head + body)
    return socket
  })
  await expect.poll(() => engine.numRunning, { timeout: 20_000 }).toBe(200)
  // Until the buffers of the system are full, which hold some megabytes for each.
  let numBefore = -1
  await expect
    .poll(() => [numBefore, (numBefore = engine.numPieces)].reduce((one, other) => other - one), {
      interval: 500,
      timeout: 60_000,
    })
    .toBe(0)
  const sentBytes = engine.numPieces * pieceBytes
  expect(heldBytes() - before).toBeLessThan(64 * 2 ** 20)
  expect(sentBytes).toBeGreaterThan(200 * 2 ** 20)
  await expect.poll(() => engine.numRunning, { timeout: 30_000 }).toBe(0)
  expect(engine.numPieces * pieceBytes).toBe(sentBytes)
  for (const socket of readers) socket.destroy()
  await server.close()
}, 120_000)
