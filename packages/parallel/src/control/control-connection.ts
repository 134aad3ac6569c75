import type { Socket } from 'node:net'
import { FrameReader, frameOf } from './frame-reader.ts'

export interface ControlConnectionOptions {
  /** How long the other side may be silent before it counts as lost. */
  readonly heartbeatTimeoutMs: number
  onFrame(payload: Uint8Array<ArrayBuffer>): void
  /** Once, unless this side ended it. */
  onLost(reason: Error): void
}

const nothing = frameOf(new Uint8Array())

/**
 * Frames over an authenticated socket, and signs of life (frames without a byte) both ways: a stopped process and a broken
 * line close no socket.
 */
export class ControlConnection {
  readonly #socket: Socket
  readonly #options: ControlConnectionOptions
  readonly #reader = new FrameReader()
  readonly #timer: NodeJS.Timeout
  readonly #intervalMs: number
  #lastHeardAt = performance.now()
  #lastCheckedAt = performance.now()
  #isOver = false
  readonly #closed = Promise.withResolvers<void>()

  /** `received` are bytes that came behind the authentication. */
  constructor(socket: Socket, received: Uint8Array, options: ControlConnectionOptions) {
    this.#socket = socket
    this.#options = options
    this.#intervalMs = Math.min(500, options.heartbeatTimeoutMs / 4)
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', ({ message }) => this.#lose(new Error(`its control connection broke: ${message}`)))
    socket.on('close', () => this.#closed.resolve())
    socket.on('close', () => this.#lose(new Error('its control connection was closed')))
    this.#timer = setInterval(() => this.#beat(), this.#intervalMs)
    if (received.byteLength > 0) queueMicrotask(() => this.#receive(received))
    if (socket.destroyed) queueMicrotask(() => this.#lose(new Error('its control connection was closed')))
    socket.resume()
  }

  /** Resolves when the socket is. */
  get closed(): Promise<void> {
    return this.#closed.promise
  }

  send(payload: Uint8Array): void {
    if (!this.#isOver) this.#socket.write(frameOf(payload))
  }

  /** What was sent is still delivered. */
  end(): void {
    this.#stop()
    this.#socket.end()
  }

  destroy(): void {
    this.#stop()
    this.#socket.destroy()
  }

  #receive(chunk: Uint8Array): void {
    if (this.#isOver) return
    this.#lastHeardAt = performance.now()
    try {
      for (const payload of this.#reader.read(chunk)) {
        if (payload.byteLength > 0 && !this.#isOver) this.#options.onFrame(payload)
      }
    } catch (error) {
      this.#lose(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #beat(): void {
    const now = performance.now()
    // This very process was stopped: what came meanwhile is still to be read.
    if (now - this.#lastCheckedAt > 2 * this.#intervalMs + 500) this.#lastHeardAt = now
    this.#lastCheckedAt = now
    this.#socket.write(nothing)
    const { heartbeatTimeoutMs } = this.#options
    if (now - this.#lastHeardAt <= heartbeatTimeoutMs) return
    this.#lose(new Error(`it gave no sign of life for ${heartbeatTimeoutMs} ms (heartbeatTimeoutMs)`))
  }

  #lose(reason: Error): void {
    if (this.#isOver) return
    this.destroy()
    this.#options.onLost(reason)
  }

  #stop(): void {
    this.#isOver = true
    clearInterval(this.#timer)
  }
}
