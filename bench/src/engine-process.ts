import { type ChildProcess, fork } from 'node:child_process'
import path from 'node:path'
import type { HostAnswers, HostMessage, HostRequest } from './host-messages.ts'

/** Nothing that is asked of an engine takes longer. */
const timeoutMs = 900_000

/** An engine in a process of its own. */
export class EngineProcess implements AsyncDisposable {
  readonly #name: string
  readonly #child: ChildProcess
  readonly #ended: Promise<void>

  /** @param name begins the lines of its progress */
  constructor(name: string) {
    this.#name = name
    this.#child = fork(path.join(import.meta.dirname, 'engine-host.ts'), {
      // What engines print is no part of the bench's output.
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, NODE_LLAMA_CPP_SKIP_DOWNLOAD: 'true' },
      serialization: 'advanced',
    })
    this.#ended = new Promise((resolve) => this.#child.once('close', () => resolve()))
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** @throws Error what the engine threw, or that its process ended or took longer than a quarter of an hour */
  async ask<R extends HostRequest>(request: R): Promise<HostAnswers[R['type']]> {
    const child = this.#child
    if (!child.connected) throw new Error(`${this.#name}: its process has ended.`)
    let stop = (): void => {}
    const answer = new Promise<HostAnswers[R['type']]>((resolve, reject) => {
      const onMessage = (message: HostMessage): void => {
        if (message.type === 'progress') console.error(`  ${this.#name}: ${message.text}`)
        // The process answers what it was asked, one thing at a time.
        else if (message.type === 'answer') resolve(message.value as HostAnswers[R['type']])
        else reject(new Error(`${this.#name}: ${message.message}`))
      }
      const onClose = (code: number | null, signal: string | null): void =>
        reject(new Error(`${this.#name}: its process ended (${signal ?? code}).`))
      const onTimeout = (): void => {
        child.kill('SIGKILL')
        reject(new Error(`${this.#name}: no answer to ${request.type} within ${timeoutMs / 1000} s.`))
      }
      const timeout = setTimeout(onTimeout, timeoutMs)
      child.on('message', onMessage).once('close', onClose)
      stop = () => {
        clearTimeout(timeout)
        child.off('message', onMessage).off('close', onClose)
      }
    })
    child.send(request)
    return answer.finally(stop)
  }

  /** Ends the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}
