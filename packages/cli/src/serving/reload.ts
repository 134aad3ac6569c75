import { unwatchFile, watchFile } from 'node:fs'
import type { Logger } from '@octavo/core'

export interface Reloaded {
  /** For the log. */
  readonly name: string
  readonly files: readonly string[]
  /** May throw: then all stays as it was. */
  readonly load: () => void
}

/** Looked at, not told: file systems of containers and networks tell nothing, and secrets there are swapped links. */
const pollMs = 2_000

/** Loads again what has changed, and all of it at a call. */
export class Reloader implements Disposable {
  readonly #logger: Logger
  readonly #parts: readonly Reloaded[]

  constructor(parts: readonly Reloaded[], logger: Logger) {
    this.#parts = parts.filter(({ files }) => files.length > 0)
    this.#logger = logger
    for (const part of this.#parts)
      for (const file of part.files) watchFile(file, { interval: pollMs, persistent: false }, () => this.#load(part))
  }

  get isEmpty(): boolean {
    return this.#parts.length === 0
  }

  loadAll(): void {
    for (const part of this.#parts) this.#load(part)
  }

  [Symbol.dispose](): void {
    for (const { files } of this.#parts) for (const file of files) unwatchFile(file)
  }

  #load({ name, load }: Reloaded): void {
    try {
      load()
      this.#logger.info(`${name} read again`)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.#logger.error(`${name} not read again, those from before stay: ${reason}`)
    }
  }
}
