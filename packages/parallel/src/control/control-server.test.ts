import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { callBack } from './control-client.ts'
import { ControlConnection } from './control-connection.ts'
import { type ControlAddress, ControlServer, preambleOf } from './control-server.ts'
import { frameOf } from './frame-reader.ts'

const closing: { destroy(): void }[] = []
let server: ControlServer
beforeEach(async () => {
  server = await ControlServer.listen('127.0.0.1', [0, 1])
})
afterEach(() => {
  server.close()
  for (const each of closing.splice(0)) each.destroy()
})

async function arrive(rank: number): Promise<Socket> {
  const socket = await callBack(server.address, rank)
  closing.push(socket)
  return socket
}

/** Whether whoever says this is turned away. */
async function isRefused({ host, port }: ControlAddress, bytes: Uint8Array): Promise<boolean> {
  const socket = connect({ host, port })
  closing.push(socket)
  socket.on('error', () => {})
  socket.write(bytes)
  await once(socket, 'close')
  return true
}

describe('the control server', () => {
  it('waits for all ranks, then listens no more', async () => {
    await arrive(1)
    expect(server.missing).toEqual([0, 1].filter((rank) => rank === 0 || server.missing.includes(rank)))
    await arrive(0)
    const arrivals = await server.arrivals()
    expect([...arrivals.keys()].sort()).toEqual([0, 1])
    for (const { socket } of arrivals.values()) closing.push(socket)
    await expect(callBack(server.address, 0)).rejects.toThrow(/rank 0 cannot reach its driver at 127\.0\.0\.1/)
  })

  it('turns away who does not know the token, is no rank of the start, or is one that is there already', async () => {
    const { token } = server.address
    expect(await isRefused(server.address, preambleOf(randomBytes(32).toString('hex'), 0))).toBe(true)
    expect(await isRefused(server.address, preambleOf(token, 2))).toBe(true)
    expect(await isRefused(server.address, Buffer.concat([randomBytes(200)]))).toBe(true)
    const first = await arrive(0)
    expect(await isRefused(server.address, preambleOf(token, 0))).toBe(true)
    expect(first.destroyed).toBe(false)
    expect(server.missing).toEqual([1])
  })

  it('names an address that this machine does not have', async () => {
    await expect(ControlServer.listen('192.0.2.1', [0])).rejects.toThrow(/controlHost: .*192\.0\.2\.1/)
  })
})

/** Both ends of a connection, and what the driver's hears. */
async function connectionOf(heartbeatTimeoutMs: number): Promise<{
  socket: Socket
  connection: ControlConnection
  frames: Uint8Array[]
  lost: Promise<Error>
}> {
  const socket = await arrive(0)
  await arrive(1)
  const arrival = (await server.arrivals()).get(0)!
  const frames: Uint8Array[] = []
  const lost = Promise.withResolvers<Error>()
  const connection = new ControlConnection(arrival.socket, arrival.received, {
    heartbeatTimeoutMs,
    onFrame: (payload) => frames.push(payload),
    onLost: lost.resolve,
  })
  closing.push(connection)
  return { socket, connection, frames, lost: lost.promise }
}

describe('a control connection', () => {
  it('carries frames, and those that came behind the token', async () => {
    const { socket, connection, frames } = await connectionOf(60_000)
    socket.write(frameOf(Buffer.from('hello')))
    connection.send(Buffer.from('plan'))
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.subarray(4).toString()).toBe('plan')
    await expect.poll(() => frames.map((frame) => Buffer.from(frame).toString())).toEqual(['hello'])
  })

  it('is lost when the other side closes it', async () => {
    const { socket, lost } = await connectionOf(60_000)
    socket.destroy()
    expect((await lost).message).toBe('its control connection was closed')
  })

  it('is lost when the other side gives no sign of life', async () => {
    const { lost } = await connectionOf(200)
    expect((await lost).message).toBe('it gave no sign of life for 200 ms (heartbeatTimeoutMs)')
  })

  it('stays while it does, with nothing else to say', async () => {
    const { socket, connection, lost } = await connectionOf(400)
    const other = new ControlConnection(socket, new Uint8Array(), {
      heartbeatTimeoutMs: 400,
      onFrame() {},
      onLost() {},
    })
    closing.push(other)
    let isLost = false
    void lost.then(() => (isLost = true))
    await new Promise((resolve) => setTimeout(resolve, 1000))
    expect(isLost).toBe(false)
    connection.end()
  })

  it('is lost at a frame that claims more than the limit', async () => {
    const { socket, lost } = await connectionOf(60_000)
    socket.write(Buffer.from([255, 255, 255, 255]))
    expect((await lost).message).toMatch(/a frame of 4294967295 bytes; the limit is/)
  })
})
