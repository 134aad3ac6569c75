import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { HubError, ModelNotFoundError, OctavoError } from '../errors.ts'
import { formatBytes } from '../util/format-bytes.ts'
import { messageOf } from '../util/message-of.ts'
import { CachedRepository, explainCacheError, isCommitHash, isCompleteSnapshot, listGgufFiles } from './hub-cache.ts'
import { downloadBlob, hubFetch, HubUnreachableError, type HubAccess, type RemoteFile } from './hub-download.ts'
import { matchGguf } from './gguf-model.ts'
import { isPickle, isSafetensorsFile, readSafetensorsIndex, safetensorsIndexName } from './safetensors-index.ts'

const maxFiles = 100_000

/** What to fetch besides the weights. */
const smallFiles =
  /^(config\.json|generation_config\.json|quantize_config\.json|quant_config\.json|hf_quant_config\.json|tokenizer[^/]*|special_tokens_map\.json|chat_template\.(jinja|json)|additional_chat_templates\/[^/]+\.jinja|adapter_config\.json)$/
/** The files of sentence-transformers, with the folders of the modules behind the transformer. */
const sentenceFiles =
  /^(modules\.json|(config_sentence_transformers|sentence_[\w-]+_config)\.json|\d+_\w+\/(config\.json|model\.safetensors))$/

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
  const first = candidates.length === 1 ? candidates[0]?.parts[0] : undefined
  const isComplete = candidates[0]?.parts.every((part) => existsSync(join(folder, part))) ?? false
  return first !== undefined && isComplete ? join(folder, first) : null
}

/** Brings the model's files into the cache; returns the snapshot folder, or the GGUF file (the first part of it) in it. */
export async function downloadModel(model: HubModel): Promise<string> {
  try {
    return await download(model)
  } catch (error) {
    throw explainCacheError(error, model.cacheDir)
  }
}

async function download(model: HubModel): Promise<string> {
  const { access, cacheDir, revision } = model
  const cache = new CachedRepository(cacheDir, access.repository)
  const commit = await resolveCommit(access, revision)
  const files = await listRepository(access, commit)
  const folder = cache.snapshotPath(commit)
  const fetchFiles = async (wanted: readonly RemoteFile[]): Promise<void> => {
    const missing = wanted.filter((file) => !existsSync(join(folder, file.path)))
    await checkFreeSpace(cache, missing)
    for (const file of missing) {
      const blobPath = cache.blobPath(file.etag)
      if (!existsSync(blobPath)) await downloadBlob(access, file, { commit, blobPath })
      await cache.linkIntoSnapshot(file.etag, commit, file.path)
    }
  }
  let result = folder
  if (model.gguf === null) {
    await fetchFiles(files.filter(({ path }) => isSmallFile(path)))
    await fetchFiles(selectWeights(access.repository, files, folder))
  } else {
    const parts = selectGguf(access.repository, files, model.gguf)
    await fetchFiles(parts)
    result = join(folder, parts[0].path)
  }
  // Written last: an offline start must not find a name for half a model.
  await cache.writeRef(revision, commit)
  return result
}

function isSmallFile(path: string): boolean {
  return smallFiles.test(path) || sentenceFiles.test(path) || path === safetensorsIndexName
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

/** All parts of the file, in order. */
function selectGguf(
  repository: string,
  files: readonly RemoteFile[],
  wanted: string,
): readonly [RemoteFile, ...RemoteFile[]] {
  const paths = files.map(({ path }) => path).filter((path) => path.endsWith('.gguf'))
  const matches = matchGguf(paths, wanted)
  const [match] = matches
  if (match === undefined || matches.length > 1) {
    const found =
      match === undefined
        ? `has no GGUF file "${wanted}"`
        : `has ${matches.length} GGUF files for "${wanted}"; give the whole file name of one`
    const all = match === undefined ? paths : matches.map(({ parts }) => parts[0])
    throw new ModelNotFoundError(repository, `${repository} ${found}. It has ${preview(all)}.`)
  }
  const find = (path: string): RemoteFile => {
    const file = files.find((candidate) => candidate.path === path)
    if (file !== undefined) return file
    const numParts = match.parts.length
    throw new HubError(
      `${repository} has ${match.parts[0]} in ${numParts} parts, but lacks ${path}; choose another file`,
    )
  }
  const [first, ...rest] = match.parts
  return [find(first), ...rest.map(find)]
}

/** @throws HubError before anything is fetched that the disk cannot hold */
async function checkFreeSpace(cache: CachedRepository, files: readonly RemoteFile[]): Promise<void> {
  const missing = files.filter((file) => !existsSync(cache.blobPath(file.etag)))
  const requiredBytes = missing.reduce((sum, file) => {
    const begun = statSync(`${cache.blobPath(file.etag)}.incomplete`, { throwIfNoEntry: false })?.size ?? 0
    return sum + Math.max(0, file.sizeInBytes - begun)
  }, 0)
  if (requiredBytes === 0) return
  const { bavail, bsize } = await cache.statFilesystem()
  const freeBytes = bavail * bsize
  if (freeBytes >= requiredBytes) return
  throw new HubError(
    `The download takes ${formatBytes(requiredBytes)}, but ${cache.path} has ${formatBytes(freeBytes)} free. Free space there, or set HF_HUB_CACHE to a folder on another disk.`,
  )
}

function preview(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(', ')
  return names.length === 0 ? 'none' : names.length > 8 ? `${shown} and ${names.length - 8} more` : shown
}
