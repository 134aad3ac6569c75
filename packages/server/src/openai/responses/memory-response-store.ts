import type { ResponseStore, StoredResponse } from './response-store.ts'

/** Limits of a store in memory. */
export interface MemoryResponseStoreOptions {
  /** Of one tenant. Default 10000. */
  readonly maxResponses?: number
  /** Of one tenant, about. Default 64 MiB. */
  readonly maxBytes?: number
  /** Of all tenants together, about. Default 256 MiB. */
  readonly maxTotalBytes?: number
  /** After the last change. Default 24 hours. */
  readonly maxAgeMs?: number
  readonly now?: () => number
}

const mebibyte = 1024 * 1024
const dayMs = 24 * 60 * 60 * 1000
/** Of the age that is allowed: how long what is too old may take room. */
const sweepShare = 1 / 16

/**
 * A store in this process's memory. Where a limit is reached, what was not used for the longest time goes: a tenant's own
 * first, and of all tenants that of the one that has most, so that nobody is pushed out by a crowd of others' responses.
 */
export function createMemoryResponseStore(options: MemoryResponseStoreOptions = {}): ResponseStore {
  return new MemoryResponseStore({
    maxResponses: options.maxResponses ?? 10_000,
    maxBytes: options.maxBytes ?? 64 * mebibyte,
    maxTotalBytes: options.maxTotalBytes ?? 256 * mebibyte,
    maxAgeMs: options.maxAgeMs ?? dayMs,
    now: options.now ?? Date.now,
  })
}

interface Entry {
  readonly stored: StoredResponse
  readonly expiresAt: number
}

/** What one tenant has. */
interface Shelf {
  /** The one that was used last is at the end. */
  readonly entries: Map<string, Entry>
  bytes: number
}

class MemoryResponseStore implements ResponseStore {
  readonly #limits: Required<MemoryResponseStoreOptions>
  readonly #shelves = new Map<string | null, Shelf>()
  #totalBytes = 0
  #nextSweep: number

  constructor(limits: Required<MemoryResponseStoreOptions>) {
    this.#limits = limits
    this.#nextSweep = limits.now() + limits.maxAgeMs * sweepShare
  }

  get(tenant: string | null, id: string): StoredResponse | null {
    const { entries } = this.#shelves.get(tenant) ?? {}
    const entry = entries?.get(id)
    if (entries === undefined || entry === undefined) return null
    if (entry.expiresAt <= this.#limits.now()) {
      this.delete(tenant, id)
      return null
    }
    entries.delete(id)
    entries.set(id, entry)
    return entry.stored
  }

  put(tenant: string | null, stored: StoredResponse): boolean {
    const { maxResponses, maxBytes, maxTotalBytes, maxAgeMs, now } = this.#limits
    const { size, response } = stored
    this.delete(tenant, response.id)
    this.#sweepNowAndThen()
    if (size > Math.min(maxBytes, maxTotalBytes) || maxResponses === 0) return false
    while (this.#countOf(tenant) >= maxResponses || this.#bytesOf(tenant) > maxBytes - size) this.#removeOldest(tenant)
    while (this.#totalBytes > maxTotalBytes - size) this.#removeOldest(this.#largestTenant())
    const shelf = this.#shelves.get(tenant) ?? { entries: new Map<string, Entry>(), bytes: 0 }
    this.#shelves.set(tenant, shelf)
    shelf.entries.set(response.id, { stored, expiresAt: now() + maxAgeMs })
    shelf.bytes += size
    this.#totalBytes += size
    return true
  }

  delete(tenant: string | null, id: string): boolean {
    const shelf = this.#shelves.get(tenant)
    const entry = shelf?.entries.get(id)
    if (shelf === undefined || entry === undefined) return false
    shelf.entries.delete(id)
    shelf.bytes -= entry.stored.size
    this.#totalBytes -= entry.stored.size
    if (shelf.entries.size === 0) this.#shelves.delete(tenant)
    return true
  }

  #countOf(tenant: string | null): number {
    return this.#shelves.get(tenant)?.entries.size ?? 0
  }

  #bytesOf(tenant: string | null): number {
    return this.#shelves.get(tenant)?.bytes ?? 0
  }

  #removeOldest(tenant: string | null): void {
    const [oldest] = this.#shelves.get(tenant)?.entries.keys() ?? []
    if (oldest !== undefined) this.delete(tenant, oldest)
  }

  #largestTenant(): string | null {
    return [...this.#shelves].reduce((largest, shelf) => (shelf[1].bytes > largest[1].bytes ? shelf : largest))[0]
  }

  /** Of what is too old nothing may be asked for again, which those who ask find out; here it is about the room it takes. */
  #sweepNowAndThen(): void {
    const time = this.#limits.now()
    if (time < this.#nextSweep) return
    this.#nextSweep = time + this.#limits.maxAgeMs * sweepShare
    for (const [tenant, { entries }] of this.#shelves)
      for (const [id, { expiresAt }] of entries) if (expiresAt <= time) this.delete(tenant, id)
  }
}
