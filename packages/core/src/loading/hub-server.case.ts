import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A hub on 127.0.0.1 with one repository, `owner/name`: the endpoints, redirects and headers that downloads meet. */
export class HubServer {
  readonly commit = 'c'.repeat(40)
  readonly requests: { path: string; range: string | null; authorization: string | null }[] = []
  /** Answer the next requests for files with this instead. */
  refusal: { status: number; errorCode?: string } | null = null
  /** Close the connection after so many bytes, for so many downloads. */
  cut: { afterBytes: number; times: number } | null = null
  /** Send the whole file whatever range was asked for. */
  ignoresRanges = false
  /** Serve these bytes in place of a file's own. */
  readonly damaged = new Map<string, Uint8Array>()
  readonly files: Map<string, Uint8Array>
  readonly #server: Server

  constructor(files: Readonly<Record<string, string | Uint8Array>>) {
    this.files = new Map(Object.entries(files).map(([name, content]) => [name, Buffer.from(content)]))
    this.#server = createServer((request, response) => this.#answer(request, response))
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => void this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` // a TCP server's address is never a string
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()))
  }

  /** Requests for a file's bytes. */
  downloadsOf(name: string): (string | null)[] {
    return this.requests
      .filter(({ path }) => path.startsWith('/owner/name/resolve/') && path.endsWith(`/${name}`))
      .map(({ range }) => range)
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(request.url ?? '/', 'http://hub')
    const path = decodeURIComponent(pathname)
    this.requests.push({
      path,
      range: request.headers.range ?? null,
      authorization: request.headers.authorization ?? null,
    })
    if (this.refusal !== null) {
      const { status, errorCode } = this.refusal
      response.writeHead(status, {
        'content-type': 'application/json',
        ...(errorCode && { 'x-error-code': errorCode }),
      })
      response.end(JSON.stringify({ error: 'refused' }))
    } else if (path.startsWith('/api/models/owner/name/revision/')) this.#answerRevision(path, response)
    else if (path === `/api/models/owner/name/tree/${this.commit}`)
      this.#json(
        response,
        [...this.files].map((file) => this.#entry(...file)),
      )
    else if (path.startsWith(`/owner/name/resolve/${this.commit}/`)) this.#answerFile(path, request, response)
    else if (path.startsWith('/cdn/')) this.#sendFile(path.slice(5), request, response)
    else this.#notFound(response, 'RepoNotFound')
  }

  #answerRevision(path: string, response: ServerResponse): void {
    const revision = path.slice('/api/models/owner/name/revision/'.length)
    if (revision !== 'main' && revision !== 'v1' && revision !== this.commit)
      this.#notFound(response, 'RevisionNotFound')
    else
      this.#json(response, {
        _id: '1',
        id: 'owner/name',
        sha: this.commit,
        private: false,
        lastModified: '2026-01-01T00:00:00Z',
      })
  }

  /** Large files live elsewhere, behind a redirect, and are known by their SHA-256; small ones are git blobs. */
  #entry(name: string, content: Uint8Array): unknown {
    const gitOid = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex')
    const base = { type: 'file', path: name, size: content.length, oid: gitOid }
    if (!isLarge(name)) return base
    return {
      ...base,
      lfs: { oid: createHash('sha256').update(content).digest('hex'), size: content.length, pointerSize: 130 },
    }
  }

  #answerFile(path: string, request: IncomingMessage, response: ServerResponse): void {
    const name = path.slice(`/owner/name/resolve/${this.commit}/`.length)
    if (!this.files.has(name)) this.#notFound(response, 'EntryNotFound')
    else if (isLarge(name)) response.writeHead(302, { location: `/cdn/${encodeURIComponent(name)}` }).end()
    else this.#sendFile(name, request, response)
  }

  #sendFile(name: string, request: IncomingMessage, response: ServerResponse): void {
    const content = this.damaged.get(name) ?? this.files.get(name) ?? new Uint8Array(0)
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
    const isPartial = range !== null && !this.ignoresRanges
    const start = isPartial ? Number(range[1]) : 0
    const end = isPartial ? Math.min(Number(range[2]) + 1, content.length) : content.length
    const body = content.subarray(start, end)
    response.writeHead(isPartial ? 206 : 200, {
      'content-length': body.length,
      etag: '"etag"',
      ...(isPartial && { 'content-range': `bytes ${start}-${end - 1}/${content.length}` }),
    })
    if (this.cut === null || !isLarge(name) || this.cut.times === 0 || body.length <= this.cut.afterBytes) {
      response.end(body)
      return
    }
    this.cut.times--
    response.write(body.subarray(0, this.cut.afterBytes), () => setImmediate(() => response.destroy()))
  }

  #json(response: ServerResponse, value: unknown): void {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  }

  #notFound(response: ServerResponse, errorCode: string): void {
    response
      .writeHead(404, { 'content-type': 'application/json', 'x-error-code': errorCode })
      .end('{"error":"not found"}')
  }
}

function isLarge(name: string): boolean {
  return name.endsWith('.safetensors') || name.endsWith('.gguf')
}
