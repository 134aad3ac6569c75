import { randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { InvalidConfigError } from '@octavo/core'

/** What a rank says first: who it is and that it was started by us. */
const magic = Buffer.from('octavo1\n')
const tokenBytes = 32
const preambleBytes = magic.byteLength + tokenBytes + 4
const preambleTimeoutMs = 5000

/** A rank that has called back, and bytes that it sent already. */
export interface Arrival {
  readonly socket: Socket
  readonly received: Buffer
}

/** Where ranks find their driver; whoever does not know the token is turned away. */
export interface ControlAddress {
  readonly host: string
  readonly port: number
  readonly token: string
}

export function preambleOf(token: string, rank: number): Buffer {
  const preamble = Buffer.alloc(preambleBytes)
  magic.copy(preamble)
  Buffer.from(token, 'hex').copy(preamble, magic.byteLength)
  preamble.writeUInt32BE(rank, preambleBytes - 4)
  return preamble
}

/** Waits for the ranks of one start to call back, each once, and then listens no more. */
export class ControlServer {
  readonly address: ControlAddress
  readonly #server: Server
  readonly #token: Buffer
  readonly #expected: Set<number>
  readonly #arrivals = new Map<number, Arrival>()
  readonly #complete = Promise.withResolvers<ReadonlyMap<number, Arrival>>()
  readonly #strangers = new Set<Socket>()

  private constructor(
    server: Server,
    { host, token, ranks }: { host: string; token: Buffer; ranks: Iterable<number> },
  ) {
    const address = server.address()
    this.address = {
      host,
      port: typeof address === 'object' && address !== null ? address.port : 0,
      token: token.toString('hex'),
    }
    this.#server = server
    this.#token = token
    this.#expected = new Set(ranks)
    // Nobody waits for it where the launcher fails first.
    this.#complete.promise.catch(() => {})
    server.maxConnections = this.#expected.size + 64
    server.on('connection', (socket) => this.#meet(socket))
  }

  /** @throws InvalidConfigError where this machine has no such address */
  static async listen(host: string, ranks: Iterable<number>): Promise<ControlServer> {
    const server = createServer()
    try {
      server.listen({ host, port: 0 })
      await once(server, 'listening')
    } catch (error) {
      throw new InvalidConfigError(
        'controlHost',
        `this machine cannot listen at ${host}, where ranks call back; name one of its own addresses`,
        { cause: error },
      )
    }
    return new ControlServer(server, { host, token: randomBytes(tokenBytes), ranks })
  }

  /** Ranks that have not called back. */
  get missing(): readonly number[] {
    return [...this.#expected].filter((rank) => !this.#arrivals.has(rank))
  }

  arrivals(): Promise<ReadonlyMap<number, Arrival>> {
    return this.#complete.promise
  }

  /** Those who have arrived are the caller's, unless it takes none. */
  close(): void {
    this.#server.close()
    for (const socket of this.#strangers) socket.destroy()
  }

  #meet(socket: Socket): void {
    this.#strangers.add(socket)
    let received = Buffer.alloc(0)
    const timer = setTimeout(() => socket.destroy(), preambleTimeoutMs)
    const onData = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk])
      if (received.byteLength < preambleBytes) return
      settle()
      const rank = this.#recognize(received)
      if (rank === null) return void socket.destroy()
      this.#welcome(rank, { socket, received: received.subarray(preambleBytes) })
    }
    const settle = (): void => {
      clearTimeout(timer)
      socket.off('data', onData)
      this.#strangers.delete(socket)
    }
    socket.on('data', onData)
    socket.on('error', () => {})
    socket.once('close', settle)
  }

  #recognize(preamble: Buffer): number | null {
    const rank = preamble.readUInt32BE(preambleBytes - 4)
    const token = preamble.subarray(magic.byteLength, magic.byteLength + tokenBytes)
    const isOurs = preamble.subarray(0, magic.byteLength).equals(magic) && timingSafeEqual(token, this.#token)
    return isOurs && this.#expected.has(rank) && !this.#arrivals.has(rank) ? rank : null
  }

  #welcome(rank: number, arrival: Arrival): void {
    arrival.socket.pause()
    this.#arrivals.set(rank, arrival)
    if (this.missing.length > 0) return
    this.close()
    this.#complete.resolve(this.#arrivals)
  }
}
