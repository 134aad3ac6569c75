import { createHash, type Hash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { HubError, ModelNotFoundError, OctavoError } from '../errors.ts'
import { assert } from '../util/assert.ts'

const maxAttempts = 5
const progressStepBytes = 256 * 1024

/** How far the download of one file is. */
export interface DownloadProgress {
  readonly file: string
  readonly loadedBytes: number
  readonly totalBytes: number
}

/** How to reach one repository. */
export interface HubAccess {
  readonly repository: string
  readonly endpoint: string
  readonly token: string | null
  /** `fetch`, or one that goes through a proxy. */
  readonly fetch: typeof fetch
  /** The first pause after a broken connection; it doubles with every further failure. */
  readonly retryDelayMs: number
  readonly onProgress: ((progress: DownloadProgress) => void) | null
}

/** A file as the hub lists it. */
export interface RemoteFile {
  readonly path: string
  readonly sizeInBytes: number
  /** Name of the blob in the cache: sha256 of an LFS file, git's blob id of a small one. */
  readonly etag: string
  /** How `etag` follows from the content; `null` where it can't be checked. */
  readonly digest: 'sha256' | 'git-sha1' | null
}

/** The hub can't be reached or is failing: whoever has the files in the cache may go on with them. */
export class HubUnreachableError extends HubError {}

/**
 * Downloads one file to `blobPath`. What has arrived stays in `blobPath.incomplete`, so that a broken or stopped download goes on
 * where it ended; the finished file is checked against its hash before it gets its name.
 */
export async function downloadBlob(
  access: HubAccess,
  file: RemoteFile,
  options: { commit: string; blobPath: string },
): Promise<void> {
  const { blobPath, commit } = options
  const incomplete = `${blobPath}.incomplete`
  await mkdir(dirname(blobPath), { recursive: true })
  for (let attempt = 0; attempt < 2; attempt++) {
    const digest = await receive(access, file, { incomplete, commit })
    if (digest === null || digest === file.etag) {
      await rename(incomplete, blobPath)
      return
    }
    // Another program wrote to the same file, or the disk is bad: start over once.
    await rm(incomplete, { force: true })
  }
  throw new HubError(
    `${file.path} of ${access.repository} arrived damaged twice: its hash is not ${file.etag}. Check the proxy or mirror ${access.endpoint}.`,
  )
}

/** Fetches what `incomplete` lacks; returns the digest of the whole file. */
async function receive(
  access: HubAccess,
  file: RemoteFile,
  options: { incomplete: string; commit: string },
): Promise<string | null> {
  const { incomplete, commit } = options
  const hash = createDigest(file)
  let loadedBytes = existsSync(incomplete) ? (await stat(incomplete)).size : 0
  if (loadedBytes > file.sizeInBytes) {
    await rm(incomplete)
    loadedBytes = 0
  }
  if (loadedBytes > 0) for await (const chunk of createReadStream(incomplete)) hash?.update(asBytes(chunk))
  access.onProgress?.({ file: file.path, loadedBytes, totalBytes: file.sizeInBytes })
  const target = await open(incomplete, 'a')
  let failures = 0
  let reportedBytes = loadedBytes
  try {
    while (loadedBytes < file.sizeInBytes) {
      const before = loadedBytes
      try {
        for await (const chunk of fetchFrom(access, file, { commit, offset: loadedBytes })) {
          if (loadedBytes + chunk.length > file.sizeInBytes)
            throw new HubError(`${file.path} of ${access.repository} is longer than listed`)
          await target.writeFile(chunk)
          hash?.update(chunk)
          loadedBytes += chunk.length
          if (loadedBytes - reportedBytes < progressStepBytes && loadedBytes < file.sizeInBytes) continue
          reportedBytes = loadedBytes
          access.onProgress?.({ file: file.path, loadedBytes, totalBytes: file.sizeInBytes })
        }
      } catch (error) {
        if (!(error instanceof HubUnreachableError)) throw error
        failures = loadedBytes > before ? 1 : failures + 1
        if (failures >= maxAttempts) throw error
        await sleep(access.retryDelayMs * 2 ** (failures - 1))
      }
    }
  } finally {
    await target.close()
  }
  return hash?.digest('hex') ?? null
}

async function* fetchFrom(
  access: HubAccess,
  file: RemoteFile,
  options: { commit: string; offset: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  const { downloadFile } = await import('@huggingface/hub')
  const { commit, offset } = options
  const failure: { error: OctavoError | null } = { error: null }
  const path = file.path.split('/').map(encodeURIComponent).join('/')
  const blob = await downloadFile({
    repo: { type: 'model', name: access.repository },
    path: file.path,
    revision: commit,
    hubUrl: access.endpoint,
    fetch: hubFetch(access, failure),
    // Plain ranges of one URL: Xet's chunk protocol could not go on from a byte of an unfinished file.
    xet: false,
    downloadInfo: {
      size: file.sizeInBytes,
      etag: file.etag,
      url: `${access.endpoint}/${access.repository}/resolve/${commit}/${path}`,
    },
  })
  assert(blob !== null, 'downloadFile gives a blob where downloadInfo is given')
  let receivedBytes = 0
  try {
    for await (const chunk of blob.slice(offset, file.sizeInBytes).stream()) {
      receivedBytes += chunk.length
      yield chunk
    }
  } catch (error) {
    if (OctavoError.isInstance(error)) throw error
    throw failure.error ?? unreachable(access, error)
  }
  if (offset + receivedBytes < file.sizeInBytes) throw unreachable(access, new Error('the connection closed early'))
}

/**
 * `fetch` as the hub library calls it, with our errors: the library drops status and headers. `failure` keeps the error too,
 * because a blob's stream passes on its text only. The token goes to the hub's own origin and nowhere else; the library would
 * take only tokens of huggingface.co.
 */
export function hubFetch(access: HubAccess, failure: { error: OctavoError | null } = { error: null }): typeof fetch {
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input)
    const headers = new Headers(init?.headers)
    if (access.token !== null && url.origin === new URL(access.endpoint).origin)
      headers.set('authorization', `Bearer ${access.token}`)
    let response: Response
    try {
      response = await access.fetch(url, { ...init, headers })
    } catch (error) {
      failure.error = unreachable(access, error)
      throw failure.error
    }
    const range = headers.get('range')
    const isWholeFile = response.status === 200 && range !== null && !range.startsWith('bytes=0-')
    if (response.ok && !isWholeFile) return response
    await response.body?.cancel()
    failure.error = isWholeFile
      ? new HubError(
          `${access.endpoint} ignores byte ranges, so the download can't go on where it stopped; delete the .incomplete files in the cache and try again`,
        )
      : refusal(access, response)
    throw failure.error
  }
}

function refusal(access: HubAccess, response: Response): OctavoError {
  const { repository, endpoint } = access
  const page = `${endpoint}/${repository}`
  const code = response.headers.get('x-error-code')
  if (response.status === 401 || response.status === 403) {
    if (code === 'GatedRepo' || response.status === 403) {
      const token =
        access.token === null
          ? ' and set HF_TOKEN to a token of that account'
          : '; the token in HF_TOKEN must be of that account and may read gated repositories'
      return new HubError(`${repository} is gated (HTTP ${response.status}). Accept its terms at ${page}${token}.`)
    }
    const remedy =
      access.token === null
        ? 'check the name, or set HF_TOKEN if it is private'
        : 'check the name and that the token in HF_TOKEN is valid and may read it'
    return new HubError(`${repository} does not exist or may not be read (HTTP 401 from ${endpoint}): ${remedy}.`)
  }
  if (response.status === 404) {
    if (code === 'RevisionNotFound')
      return new ModelNotFoundError(
        repository,
        `${repository} exists, but not in this revision (HTTP 404). See ${page}/tree/main for its branches and tags.`,
      )
    return new ModelNotFoundError(
      repository,
      `${repository} is not on ${endpoint} (HTTP 404). Check the name: it is owner/name, with upper and lower case.`,
    )
  }
  const reason = `${endpoint} answered HTTP ${response.status} for ${repository}`
  if (response.status === 429 || response.status >= 500)
    return new HubUnreachableError(`${reason}. Try again later; with HF_TOKEN the hub allows more requests.`)
  return new HubError(`${reason}.`)
}

function unreachable(access: HubAccess, error: unknown): HubUnreachableError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new HubUnreachableError(
    `${access.endpoint} can't be reached (${reason}). Check the connection and, where there is one, the proxy (HTTPS_PROXY), set HF_ENDPOINT to a mirror, or pass the folder of a model that is already here.`,
    { cause: error },
  )
}

function createDigest(file: RemoteFile): Hash | null {
  if (file.digest === null) return null
  return file.digest === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${file.sizeInBytes}\0`)
}

function asBytes(chunk: unknown): Uint8Array {
  assert(chunk instanceof Uint8Array, 'a file stream without encoding yields bytes')
  return chunk
}
