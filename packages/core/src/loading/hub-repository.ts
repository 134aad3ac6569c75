import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { HubError, ModelNotFoundError, OctavoError } from '../errors.ts'
import { messageOf } from '../util/message-of.ts'
import { CachedRepository, isCommitHash, isCompleteSnapshot, listGgufFiles } from './hub-cache.ts'
import { downloadBlob, hubFetch, HubUnreachableError, type HubAccess, type RemoteFile } from './hub-download.ts'
import { isPickle, isSafetensorsFile, readSafetensorsIndex, safetensorsIndexName } from './safetensors-index.ts'

const maxFiles = 100_000

/** What to fetch besides the weights. */
const smallFiles =
  /^(config\.json|generation_config\.json|tokenizer[^/]*|special_tokens_map\.json|chat_template\.(jinja|json)|adapter_config\.json)$/

export interface HubModel {
  readonly access: HubAccess
  readonly cacheDir: string
  /** Branch, tag or commit. */
  readonly revision: string
  /** A GGUF file name or quantization label ("Q4_K_M") of the repository; `null` for its safetensors. */
  readonly gguf: string | null
}

/** The model in the cache, without asking the hub, or `null` where it is absent or incomplete. */
export async function findCachedModel(model: HubModel): Promise<string | null> {
  const cache = new CachedRepository(model.cacheDir, model.access.repository)
  const commit = await cache.readRef(model.revision)
  if (commit === null) return null
  const folder = cache.snapshotPath(commit)
  if (model.gguf === null) return isCompleteSnapshot(folder) ? folder : null
  const candidates = matchGguf(listGgufFiles(folder), model.gguf)
  return candidates.length === 1 && candidates[0] !== undefined ? join(folder, candidates[0]) : null
}

/** Brings the model's files into the cache; returns the snapshot folder, or the GGUF file in it. */
export async function downloadModel(model: HubModel): Promise<string> {
  const { access, cacheDir, revision } = model
  const cache = new CachedRepository(cacheDir, access.repository)
  const commit = await resolveCommit(access, revision)
  const files = await listRepository(access, commit)
  const folder = cache.snapshotPath(commit)
  const fetchFile = async (file: RemoteFile): Promise<void> => {
    if (existsSync(join(folder, file.path))) return
    const blobPath = cache.blobPath(file.etag)
    if (!existsSync(blobPath)) await downloadBlob(access, file, { commit, blobPath })
    await cache.linkIntoSnapshot(file.etag, commit, file.path)
  }
  let result = folder
  if (model.gguf === null) {
    for (const file of files)
      if (smallFiles.test(file.path) || file.path === safetensorsIndexName) await fetchFile(file)
    for (const file of selectWeights(access.repository, files, folder)) await fetchFile(file)
  } else {
    const file = selectGguf(access.repository, files, model.gguf)
    await fetchFile(file)
    result = join(folder, file.path)
  }
  // Written last: an offline start must not find a name for half a model.
  await cache.writeRef(revision, commit)
  return result
}

async function resolveCommit(access: HubAccess, revision: string): Promise<string> {
  const { modelInfo } = await import('@huggingface/hub')
  const info = await guard(access, () =>
    modelInfo({ name: access.repository, revision, additionalFields: ['sha'], ...libraryOptions(access) }),
  )
  if (typeof info.sha !== 'string' || !isCommitHash(info.sha)) {
    throw new HubError(`${access.endpoint} gives no commit for ${access.repository}: is it a Hugging Face hub?`)
  }
  return info.sha
}

async function listRepository(access: HubAccess, commit: string): Promise<RemoteFile[]> {
  const { listFiles } = await import('@huggingface/hub')
  return guard(access, async () => {
    const files: RemoteFile[] = []
    const entries = listFiles({
      repo: { type: 'model', name: access.repository },
      revision: commit,
      recursive: true,
      ...libraryOptions(access),
    })
    for await (const entry of entries) {
      if (entry.type !== 'file' || !isSafePath(entry.path)) continue
      if (files.length >= maxFiles) throw new HubError(`${access.repository} has more than ${maxFiles} files`)
      const etag = entry.lfs?.oid ?? entry.oid ?? ''
      if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag))
        throw new HubError(`${access.endpoint} lists ${entry.path} without a hash`)
      const sizeInBytes = entry.lfs?.size ?? entry.size
      if (!Number.isSafeInteger(sizeInBytes) || sizeInBytes < 0)
        throw new HubError(`${access.endpoint} lists ${entry.path} without a size`)
      files.push({ path: entry.path, sizeInBytes, etag, digest: etag.length === 64 ? 'sha256' : 'git-sha1' })
    }
    return files
  })
}

function libraryOptions(access: HubAccess): { hubUrl: string; fetch: typeof fetch } {
  return { hubUrl: access.endpoint, fetch: hubFetch(access) }
}

/** The library's own errors (answers that are no JSON, say) as ours. */
async function guard<T>(access: HubAccess, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (OctavoError.isInstance(error)) throw error
    throw new HubUnreachableError(
      `${access.endpoint} gave an answer that is not a hub's (${messageOf(error)}). Check HF_ENDPOINT, HF_TOKEN and the proxy.`,
      { cause: error },
    )
  }
}

/** Paths come from the repository and end up below the cache folder. */
function isSafePath(path: string): boolean {
  return path.split('/').every((part) => part !== '' && part !== '..' && part !== '.' && !/[\\:\0]/.test(part))
}

function selectWeights(repository: string, files: readonly RemoteFile[], folder: string): RemoteFile[] {
  const index = readSafetensorsIndex(folder)
  if (index !== null) {
    const shards = new Set(index.shardOf.values())
    const found = files.filter((file) => shards.has(file.path))
    if (found.length === shards.size) return found
    const missing = [...shards].find((shard) => !found.some((file) => file.path === shard))
    throw new HubError(`${repository} lists the shard ${missing} in ${safetensorsIndexName} but does not have it`)
  }
  const weights = files.filter(({ path }) => isSafetensorsFile(path) && !path.includes('/'))
  if (weights.length > 0) return weights
  const ggufFiles = files.filter((file) => file.path.endsWith('.gguf')).map((file) => file.path)
  if (ggufFiles.length > 0)
    throw new ModelNotFoundError(
      repository,
      `${repository} has GGUF files only: name one, as in "${repository}:${ggufFiles[0]}". It has ${preview(ggufFiles)}.`,
    )
  const pickle = files.find(({ path }) => isPickle(path))
  const found =
    pickle === undefined ? 'no weights' : `only PyTorch pickles (${pickle.path}), which can run code and are not loaded`
  throw new ModelNotFoundError(
    repository,
    `${repository} has ${found}. Choose a repository with .safetensors or .gguf files.`,
  )
}

function selectGguf(repository: string, files: readonly RemoteFile[], wanted: string): RemoteFile {
  const ggufFiles = files.filter((file) => file.path.endsWith('.gguf'))
  const matches = matchGguf(
    ggufFiles.map((file) => file.path),
    wanted,
  )
  const file = ggufFiles.find((candidate) => candidate.path === matches[0])
  if (file !== undefined && matches.length === 1) return file
  const found =
    matches.length === 0
      ? `has no GGUF file "${wanted}"`
      : `has ${matches.length} GGUF files for "${wanted}"; give the whole file name of one`
  const all = matches.length === 0 ? ggufFiles.map((candidate) => candidate.path) : matches
  throw new ModelNotFoundError(repository, `${repository} ${found}. It has ${preview(all)}.`)
}

/** By path, by file name, or by the quantization label between separators ("q4_k_m" in "model-Q4_K_M.gguf"). */
export function matchGguf(paths: readonly string[], wanted: string): string[] {
  const exact = paths.filter((path) => path === wanted || path.endsWith(`/${wanted}`))
  if (exact.length > 0) return exact
  const label = wanted.toLowerCase()
  return paths.filter((path) => {
    const stem = path
      .slice(path.lastIndexOf('/') + 1)
      .toLowerCase()
      .replace(/\.gguf$/, '')
    return stem === label || stem.endsWith(`-${label}`) || stem.endsWith(`.${label}`) || stem.includes(`-${label}-0`)
  })
}

function preview(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(', ')
  return names.length === 0 ? 'none' : names.length > 8 ? `${shown} and ${names.length - 8} more` : shown
}
