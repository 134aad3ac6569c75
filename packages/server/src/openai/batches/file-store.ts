import { createReadStream, type ReadStream } from 'node:fs'
import { rename, rm, stat } from 'node:fs/promises'
import type { ExpiresAfter, FileObject } from '@octavo/sdk/protocol'
import { HttpError } from '../../http-error.ts'
import { newId, type StorageFolder } from './storage-folder.ts'

export interface StoredFile {
  readonly tenant: string | null
  readonly object: FileObject
}

export interface NewFile {
  readonly tenant: string | null
  readonly filename: string
  readonly purpose: FileObject['purpose']
  readonly expiresAfter: ExpiresAfter | null
}

export interface FileStoreLimits {
  /** Of one file. */
  readonly maxFileBytes: number
  /** Of all files of all tenants. */
  readonly maxStoredBytes: number
}

/** Files with what is known of them; each tenant sees its own. */
export class FileStore {
  readonly folder: StorageFolder
  readonly #limits: FileStoreLimits
  readonly #files = new Map<string, StoredFile>()
  /** Of files on their way. */
  #incomingBytes = 0

  private constructor(folder: StorageFolder, limits: FileStoreLimits) {
    this.folder = folder
    this.#limits = limits
  }

  static async open(folder: StorageFolder, limits: FileStoreLimits): Promise<FileStore> {
    const store = new FileStore(folder, limits)
    for (const file of (await folder.readAll('files')) as StoredFile[]) store.#files.set(file.object.id, file)
    await store.#sweep()
    return store
  }

  /** Oldest first. */
  list(tenant: string | null): FileObject[] {
    const files = [...this.#files.values()].filter((file) => file.tenant === tenant && !isExpired(file.object))
    return files.map(({ object }) => object).sort((a, b) => a.created_at - b.created_at || (a.id < b.id ? -1 : 1))
  }

  /** @throws HttpError 404 */
  get(tenant: string | null, id: string): FileObject {
    const file = this.#files.get(id)
    if (file === undefined || file.tenant !== tenant || isExpired(file.object))
      throw new HttpError(404, `There is no file ${JSON.stringify(id.slice(0, 64))}.`, { param: 'file_id' })
    return file.object
  }

  has(id: string): boolean {
    return this.#files.has(id)
  }

  pathOf(id: string): string {
    return this.folder.pathOf('files', `${id}.jsonl`)
  }

  read({ id }: Pick<FileObject, 'id'>): ReadStream {
    return createReadStream(this.pathOf(id))
  }

  /**
   * Counts bytes of a file on its way; what it is given back by is to be called when it has arrived or failed.
   * @throws HttpError 413 for a file, or files, that are too large
   */
  meter({ isBounded = true } = {}): { readonly add: (numBytes: number) => void; readonly end: () => void } {
    const { maxStoredBytes } = this.#limits
    const maxFileBytes = isBounded ? this.#limits.maxFileBytes : Infinity
    const stored = this.#storedBytes()
    let numBytes = 0
    return {
      add: (more) => {
        numBytes += more
        this.#incomingBytes += more
        if (numBytes > maxFileBytes)
          throw new HttpError(413, `The file has more than ${maxFileBytes} bytes, which is the limit; split it.`)
        if (stored + this.#incomingBytes > maxStoredBytes) {
          const message = `All files together would have more than ${maxStoredBytes} bytes, which is the limit; delete some that are no longer needed.`
          throw new HttpError(413, message)
        }
      },
      end: () => {
        this.#incomingBytes -= numBytes
        numBytes = 0
      },
    }
  }

  /** Takes over a file that is complete. */
  async adopt(incoming: string, file: NewFile): Promise<FileObject> {
    const id = newId('file-')
    await rename(incoming, this.pathOf(id))
    return this.register(id, file)
  }

  /** Makes known a file that stands in its place. */
  async register(id: string, { tenant, filename, purpose, expiresAfter }: NewFile): Promise<FileObject> {
    await this.#sweep()
    const created = now()
    const object: FileObject = {
      id,
      object: 'file',
      bytes: (await stat(this.pathOf(id))).size,
      created_at: created,
      ...(expiresAfter !== null && { expires_at: created + expiresAfter.seconds }),
      filename,
      purpose,
      status: 'processed',
    }
    const file = { tenant, object }
    await this.folder.writeJson('files', id, file)
    this.#files.set(id, file)
    return object
  }

  async delete({ id }: FileObject): Promise<void> {
    this.#files.delete(id)
    await this.folder.removeJson('files', id)
    await rm(this.pathOf(id), { force: true })
  }

  #storedBytes(): number {
    return [...this.#files.values()].reduce((sum, { object }) => sum + object.bytes, 0)
  }

  async #sweep(): Promise<void> {
    for (const { object } of this.#files.values()) if (isExpired(object)) await this.delete(object)
  }
}

/** Seconds since 1970. */
export function now(): number {
  return Math.floor(Date.now() / 1000)
}

function isExpired({ expires_at: at }: FileObject): boolean {
  return at != null && at <= now()
}
