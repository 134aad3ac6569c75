import { readdirSync, type Stats, statSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { HubError, ModelNotFoundError } from '../errors.ts'
import { editDistance } from '../util/edit-distance.ts'
import { messageOf } from '../util/message-of.ts'
import { embeddedModelNames, embeddedModelPath } from './embedded-model.ts'
import { defaultHubCacheDir, isCommitHash } from './hub-cache.ts'
import { HubUnreachableError, type DownloadProgress } from './hub-download.ts'
import { createFetch, type ProxySettings } from './proxy-fetch.ts'
import { downloadModel, findCachedModel, type HubModel } from './hub-repository.ts'

export type { DownloadProgress } from './hub-download.ts'

const noProxies: ProxySettings = { httpProxy: null, httpsProxy: null, noProxy: null }
const defaultEndpoint = 'https://huggingface.co'

export interface ResolveModelOptions {
  /** Branch, tag or commit of a hub repository. Default 'main'. */
  readonly revision?: string | null
  /** The shared Hugging Face cache. Default ~/.cache/huggingface/hub. */
  readonly cacheDir?: string | null
  readonly token?: string | null
  /** Default: none. */
  readonly proxy?: ProxySettings
  /** Use what the cache has and never the network. */
  readonly offline?: boolean
  /** Another hub. Default https://huggingface.co. */
  readonly endpoint?: string | null
  readonly onProgress?: (progress: DownloadProgress) => void
  /** Models that need no download: name → folder. Default: those that ship with this package. */
  readonly embeddedModels?: Readonly<Record<string, string>>
  /** The first pause after a broken connection. Default 500. */
  readonly retryDelayMs?: number
}

/**
 * Turns what a user calls a model into a folder or a .gguf file on this machine: an existing folder or .gguf file, an embedded
 * model, or a hub repository `owner/name` (`owner/name:file.gguf` or `owner/name:Q4_K_M` for one GGUF file), downloaded into the
 * cache that all Hugging Face tools share.
 *
 * Throws ModelNotFoundError where nothing has that name, HubError where the hub refuses or can't be reached.
 */
export async function resolveModelPath(model: string, options: ResolveModelOptions = {}): Promise<string> {
  const local = resolveLocal(model)
  if (local !== null) return local
  const embedded = resolveEmbedded(model, options.embeddedModels)
  if (embedded !== null) return embedded
  const hubModel = toHubModel(model, options, await createFetch(options.proxy ?? noProxies))
  if (options.offline === true) return requireCached(hubModel, model)
  // A commit never changes: once it is here, the hub has nothing to add.
  const pinned = isCommitHash(hubModel.revision) ? await findCachedModel(hubModel) : null
  if (pinned !== null) return pinned
  try {
    return await downloadModel(hubModel)
  } catch (error) {
    if (!(error instanceof HubUnreachableError)) throw error
    const cached = await findCachedModel(hubModel)
    if (cached === null) throw error
    return cached
  }
}

function resolveLocal(model: string): string | null {
  const stat = model === '' ? undefined : statModel(model)
  if (stat === undefined) {
    if (isPathLike(model))
      throw new ModelNotFoundError(model, `There is no file or folder "${model}".${suggestNear(model)}`)
    return null
  }
  if (stat.isDirectory() || model.endsWith('.gguf')) return resolve(model)
  const remedy = model.endsWith('.safetensors')
    ? `Pass its folder, ${dirname(resolve(model))}.`
    : 'Pass a model folder or a .gguf file.'
  throw new ModelNotFoundError(model, `"${model}" is a file, but not a .gguf file. ${remedy}`)
}

function statModel(model: string): Stats | undefined {
  try {
    return statSync(model, { throwIfNoEntry: false })
  } catch (error) {
    throw new ModelNotFoundError(
      model,
      `"${model}" can't be looked at (${messageOf(error)}). Check its folders, links and permissions.`,
      { cause: error },
    )
  }
}

function isPathLike(model: string): boolean {
  if (/^[./~]/.test(model) || model.includes('\\') || /^[A-Za-z]:/.test(model)) return true
  const [name = ''] = model.split(':')
  return name.endsWith('.gguf') || name.split('/').length > 2
}

function resolveEmbedded(model: string, embeddedModels: Readonly<Record<string, string>> | undefined): string | null {
  if (embeddedModels !== undefined) return Object.hasOwn(embeddedModels, model) ? (embeddedModels[model] ?? null) : null
  return embeddedModelNames.includes(model) ? embeddedModelPath(model) : null
}

function toHubModel(model: string, options: ResolveModelOptions, send: typeof fetch): HubModel {
  const match = /^([\w.-]+\/[\w.-]+?)(?::(.+))?$/.exec(model)
  const repository = match?.[1]
  const revision = options.revision ?? 'main'
  if (repository === undefined || repository.split('/').some((part) => /^\.+$/.test(part))) {
    const names = Object.keys(options.embeddedModels ?? {}).concat(
      options.embeddedModels === undefined ? embeddedModelNames : [],
    )
    throw new ModelNotFoundError(
      model,
      `"${model}" is no folder or .gguf file here, no embedded model (${names.join(', ')}) and not written like a hub repository (owner/name, such as Qwen/Qwen3-0.6B).`,
    )
  }
  if (!/^[\w][\w./-]*$/.test(revision) || revision.split('/').some((part) => part === '' || /^\.+$/.test(part))) {
    throw new ModelNotFoundError(model, `"${revision}" is not a branch, tag or commit of ${repository}.`)
  }
  const endpoint = (options.endpoint ?? defaultEndpoint).replace(/\/+$/, '')
  if (!/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint))
    throw new HubError(`The hub "${endpoint}" (HF_ENDPOINT) is not an http or https address.`)
  return {
    access: {
      repository,
      endpoint,
      token: options.token ?? null,
      fetch: send,
      retryDelayMs: options.retryDelayMs ?? 500,
      onProgress: options.onProgress ?? null,
    },
    cacheDir: resolve(options.cacheDir ?? defaultHubCacheDir()),
    revision,
    gguf: match?.[2] ?? null,
  }
}

async function requireCached(hubModel: HubModel, model: string): Promise<string> {
  const cached = await findCachedModel(hubModel)
  if (cached !== null) return cached
  throw new ModelNotFoundError(
    model,
    `${model} (revision ${hubModel.revision}) is not, or not completely, in the cache ${hubModel.cacheDir}, and offline mode is on. Unset HF_HUB_OFFLINE to download it, or pass a folder.`,
  )
}

/** Names beside the missing path that look like it. */
function suggestNear(model: string): string {
  const wanted = basename(model).toLowerCase()
  let names: string[]
  try {
    names = readdirSync(dirname(resolve(model)))
  } catch {
    return ` The folder ${dirname(resolve(model))} does not exist either.`
  }
  const scored = names.map((name) => ({ name, distance: editDistance(name.toLowerCase(), wanted) }))
  const near = scored.filter(
    ({ name, distance }) => distance <= Math.max(3, wanted.length / 2) || name.endsWith('.gguf'),
  )
  near.sort((a, b) => a.distance - b.distance)
  const listed = near.slice(0, 5).map(({ name }) => name)
  return listed.length === 0 ? '' : ` Near it: ${listed.join(', ')}.`
}
