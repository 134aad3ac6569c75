import { existsSync, readdirSync, type StatsFs } from 'node:fs'
import { copyFile, mkdir, readFile, rename, rm, statfs, symlink, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { HubError } from '../errors.ts'
import { messageOf } from '../util/message-of.ts'
import { isSafetensorsFile, readSafetensorsIndex } from './safetensors-index.ts'

const commitHash = /^[0-9a-f]{40}$/

/** Where the Hugging Face tools keep downloads unless HF_HOME or HF_HUB_CACHE say otherwise. */
export function defaultHubCacheDir(): string {
  return join(homedir(), '.cache', 'huggingface', 'hub')
}

export function isCommitHash(revision: string): boolean {
  return commitHash.test(revision)
}

/** One repository in the cache, in the layout that all Hugging Face tools share: `models--owner--name/{blobs,refs,snapshots}`. */
export class CachedRepository {
  readonly path: string

  constructor(cacheDir: string, repository: string) {
    this.path = join(cacheDir, `models--${repository.replaceAll('/', '--')}`)
  }

  /** Of the disk that it lies on. */
  async statFilesystem(): Promise<StatsFs> {
    await mkdir(this.path, { recursive: true })
    return statfs(this.path)
  }

  blobPath(etag: string): string {
    return join(this.path, 'blobs', etag)
  }

  snapshotPath(commit: string): string {
    return join(this.path, 'snapshots', commit)
  }

  /** The commit that a branch or tag had when it was last downloaded, or `null`. */
  async readRef(revision: string): Promise<string | null> {
    if (isCommitHash(revision)) return revision
    try {
      const commit = (await readFile(join(this.path, 'refs', revision), 'utf8')).trim()
      return isCommitHash(commit) ? commit : null
    } catch {
      return null
    }
  }

  async writeRef(revision: string, commit: string): Promise<void> {
    if (revision === commit) return
    const file = join(this.path, 'refs', revision)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, commit)
  }

  /** Makes a downloaded blob visible in a snapshot: a relative link, or a copy where the file system has no links. */
  async linkIntoSnapshot(etag: string, commit: string, file: string): Promise<void> {
    const blob = this.blobPath(etag)
    const link = join(this.snapshotPath(commit), file)
    await mkdir(dirname(link), { recursive: true })
    const temporary = `${link}.${process.pid}.tmp`
    await rm(temporary, { force: true })
    try {
      await symlink(relative(dirname(link), blob), temporary)
    } catch {
      await copyFile(blob, temporary)
    }
    await rename(temporary, link)
  }
}

/** What the file system refused, with the remedy; anything else as it is. */
export function explainCacheError(error: unknown, cacheDir: string): unknown {
  const code = error instanceof Error && 'syscall' in error && 'code' in error ? String(error.code) : null
  if (code === null) return error
  const remedies: Readonly<Record<string, string>> = {
    ENOSPC: 'The disk is full: free space there',
    EDQUOT: 'Your quota there is used up: free space',
    EROFS: 'It is on a read-only disk: make it writable',
    EACCES: 'Make it writable for this user',
    EPERM: 'Make it writable for this user',
    ELOOP: 'A symbolic link there leads back to itself: remove it',
  }
  const remedy = remedies[code] ?? 'Check the folder'
  return new HubError(
    `The model cache ${cacheDir} can't be written (${messageOf(error)}). ${remedy}, or set HF_HUB_CACHE to another folder.`,
    { cause: error },
  )
}

/** Whether a snapshot folder has a config and every weight shard, so that it can be used without asking the hub. */
export function isCompleteSnapshot(folder: string): boolean {
  if (!existsSync(join(folder, 'config.json'))) return false
  const index = readSafetensorsIndex(folder)
  if (index === null)
    return readdirSync(folder).some((name) => isSafetensorsFile(name) && existsSync(join(folder, name)))
  return [...new Set(index.shardOf.values())].every((shard) => existsSync(join(folder, shard)))
}

/** Paths of the `.gguf` files in a snapshot folder, relative to it. */
export function listGgufFiles(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => name.endsWith('.gguf') && existsSync(join(folder, name)))
    .sort()
}
