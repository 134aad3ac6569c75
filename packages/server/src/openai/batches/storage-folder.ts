import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import path from 'node:path'
import { InvalidConfigError } from '@octavo/core'

/** A lock that nobody has touched for so long has lost its owner. */
const staleMs = 30_000
const touchMs = 5_000

/**
 * Where files and batches are kept, under names of ours alone. One server at a time: the folder has a lock, which a dead
 * one leaves behind.
 */
export class StorageFolder {
  readonly #path: string
  readonly #isTemporary: boolean
  readonly #heartbeat: NodeJS.Timeout

  private constructor(folder: string, isTemporary: boolean) {
    this.#path = folder
    this.#isTemporary = isTemporary
    this.#heartbeat = setInterval(() => void touch(lockOf(folder)), touchMs)
    this.#heartbeat.unref()
  }

  /** @param folder `null`: a temporary one, gone when it is closed */
  static async open(folder: string | null): Promise<StorageFolder> {
    const root = folder === null ? await mkdtemp(path.join(tmpdir(), 'octavo-batches-')) : path.resolve(folder)
    try {
      // What clients send is theirs and the server's alone.
      for (const part of parts) await mkdir(path.join(root, part), { recursive: true, mode: 0o700 })
      await takeLock(root)
      await rm(path.join(root, 'incoming'), { recursive: true })
      await mkdir(path.join(root, 'incoming'), { mode: 0o700 })
    } catch (error) {
      if (error instanceof InvalidConfigError) throw error
      const reason = error instanceof Error && 'code' in error ? String(error.code) : 'no access'
      throw new InvalidConfigError(
        'batchFolder',
        `${root} cannot be used (${reason}); choose a folder that this user may write to.`,
        { cause: error },
      )
    }
    return new StorageFolder(root, folder === null)
  }

  pathOf(part: Part, name: string): string {
    return path.join(this.#path, part, name)
  }

  /** A path for what is still being written. */
  newPath(): string {
    return this.pathOf('incoming', newId(''))
  }

  /** All or nothing, whenever the machine stops. */
  async writeJson(part: Part, name: string, value: unknown): Promise<void> {
    const incoming = this.newPath()
    await writeFile(incoming, JSON.stringify(value), { flush: true, mode: 0o600 })
    await rename(incoming, this.pathOf(part, `${name}.json`))
  }

  async removeJson(part: Part, name: string): Promise<void> {
    await rm(this.pathOf(part, `${name}.json`), { force: true })
  }

  /** The objects of a part; one that is damaged is left where it is. */
  async readAll(part: Part): Promise<unknown[]> {
    const names = (await readdir(path.join(this.#path, part))).filter((name) => name.endsWith('.json'))
    const texts = await Promise.all(names.map((name) => readFile(this.pathOf(part, name), 'utf8')))
    return texts.flatMap((text) => {
      try {
        return [JSON.parse(text) as unknown]
      } catch {
        return []
      }
    })
  }

  async close(): Promise<void> {
    clearInterval(this.#heartbeat)
    if (this.#isTemporary) await rm(this.#path, { recursive: true, force: true })
    else await rm(lockOf(this.#path), { force: true })
  }
}

/**
 * Says at once that a folder cannot be used, not after a model has been loaded for minutes.
 * @throws InvalidConfigError
 */
export async function checkBatchFolder(folder: string): Promise<void> {
  await (await StorageFolder.open(folder)).close()
}

const parts = ['files', 'batches', 'incoming'] as const
type Part = (typeof parts)[number]

/** Nobody can guess it, and it is a safe name of a file. */
export function newId(prefix: string): string {
  return `${prefix}${randomBytes(12).toString('hex')}`
}

function lockOf(root: string): string {
  return path.join(root, 'lock')
}

async function touch(file: string): Promise<void> {
  const now = new Date()
  await utimes(file, now, now).catch(() => undefined)
}

async function takeLock(root: string): Promise<void> {
  const file = lockOf(root)
  const owner = JSON.stringify({ pid: process.pid, host: hostname(), startedAt: performance.timeOrigin })
  const lock = await open(file, 'wx', 0o600).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return null
    throw error
  })
  if (lock !== null) {
    await lock.writeFile(owner)
    return lock.close()
  }
  const other = parseOwner(await readFile(file, 'utf8'))
  const isFresh = Date.now() - (await stat(file)).mtimeMs < staleMs
  if (isFresh && !isDead(other)) {
    throw new InvalidConfigError(
      'batchFolder',
      `${root} is in use by process ${other.pid} on ${other.host}; stop it, or choose another folder.`,
    )
  }
  await writeFile(file, owner)
}

interface Owner {
  readonly pid: number
  readonly host: string
  readonly startedAt: number
}

function parseOwner(text: string): Owner {
  try {
    const { pid, host, startedAt } = JSON.parse(text) as Partial<Owner>
    return { pid: Number(pid), host: String(host), startedAt: Number(startedAt) }
  } catch {
    return { pid: Number.NaN, host: 'unknown', startedAt: 0 }
  }
}

/** Of another host nobody can tell. A container's first process has the same number each time. */
function isDead({ pid, host, startedAt }: Owner): boolean {
  if (Number.isNaN(pid)) return true
  if (host !== hostname()) return false
  if (pid === process.pid) return startedAt !== performance.timeOrigin
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH'
  }
}
