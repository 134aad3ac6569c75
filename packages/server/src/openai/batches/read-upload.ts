import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { type Readable, Transform, type Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { Busboy } from '@fastify/busboy'
import { uploadFieldsSchema } from '@octavo/sdk/protocol'
import type { FileObject } from '@octavo/sdk/protocol'
import type { FastifyRequest } from 'fastify'
import { HttpError } from '../../http-error.ts'
import { parseWire } from '../../parse-wire.ts'
import type { FileStore } from './file-store.ts'

/** A form in parts, of which the file goes to disk as it comes. @throws HttpError */
export async function readUpload(
  request: FastifyRequest,
  files: FileStore,
  tenant: string | null,
): Promise<FileObject> {
  await files.sweep()
  files.checkCount(tenant)
  const incoming = files.folder.newPath()
  const meter = files.meter()
  try {
    const { fields, filename } = await readForm(request, (stream) => save(stream, incoming, meter.add))
    const { purpose, expires_after: expiresAfter = null } = parseWire(uploadFieldsSchema, toObject(fields))
    if (filename === null) throw new HttpError(400, 'file: is required, as a part of the form.', { param: 'file' })
    return await files.adopt(incoming, { tenant, purpose, filename: displayName(filename), expiresAfter })
  } catch (error) {
    if (!isOfDisk(error)) throw error
    throw new HttpError(507, 'The server could not keep the file: its disk is full or fails.')
  } finally {
    meter.end()
    await rm(incoming, { force: true })
  }
}

interface Form {
  readonly fields: ReadonlyMap<string, string>
  /** Of the first part that is called "file"; `null` where there is none. */
  readonly filename: string | null
}

const limits = { files: 1, fields: 16, fieldSize: 4096, fieldNameSize: 100, headerPairs: 32, headerSize: 8192 }

async function readForm({ headers, body }: FastifyRequest, onFile: (stream: Readable) => Promise<void>): Promise<Form> {
  const type = headers['content-type']
  if (type === undefined || !isStream(body))
    throw new HttpError(400, 'The body must be a form with the header "Content-Type: multipart/form-data".')
  const parser = createParser(type)
  const fields = new Map<string, string>()
  const strays: string[] = []
  const files: { readonly name: string; readonly stream: Readable; readonly failure: Promise<unknown> }[] = []
  parser.on('field', (name, value) => {
    if (!fieldNames.has(name) || fields.has(name)) strays.push(name)
    fields.set(name, value)
  })
  parser.on('filesLimit', () => strays.push('file'))
  parser.on('fieldsLimit', () => strays.push('a field'))
  parser.on('file', (name, stream, filename) => {
    stream.once('error', () => undefined)
    if (name !== 'file') {
      strays.push(name)
      return void stream.resume()
    }
    const failure = onFile(stream).then(
      () => null,
      (error: unknown) => {
        parser.destroy()
        return error
      },
    )
    files.push({ name: filename ?? '', stream, failure })
  })
  const fault = await fed(parser, body).then(
    () => null,
    (error: unknown) => error,
  )
  // A file that was cut off has an end, too.
  if (fault !== null) for (const { stream } of files) stream.destroy()
  const failure = (await files[0]?.failure) ?? null
  if (fault === null && failure === null) {
    checkNames(strays)
    return { fields, filename: files[0]?.name ?? null }
  }
  if (failure instanceof HttpError) throw failure
  if (isOfDisk(failure)) throw failure
  throw new HttpError(400, `The form is not valid: ${fault instanceof Error ? fault.message : 'it ends too early'}.`)
}

const fieldNames: ReadonlySet<string> = new Set(['purpose', 'expires_after[anchor]', 'expires_after[seconds]'])

/** @throws HttpError 400 for what would be ignored */
function checkNames([stray]: readonly string[]): void {
  if (stray === undefined) return
  const name = stray.slice(0, 64)
  const message = `${name}: is one too many; a form has one file, called "file", and ${[...fieldNames].join(', ')}, once each.`
  throw new HttpError(400, message, { param: name })
}

/** Rejects where the form is wrong or does not come to its end. What the parser does not take is read and thrown away, so that the client reads why. */
async function fed(parser: Writable, body: Readable): Promise<void> {
  body.pipe(parser)
  try {
    await Promise.all([finished(parser), finished(body)])
  } finally {
    body.unpipe(parser)
    body.resume()
  }
}

/** Told apart from what a form does that is cut off. */
function isOfDisk(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}

function createParser(contentType: string) {
  try {
    return new Busboy({ headers: { 'content-type': contentType }, limits })
  } catch {
    throw new HttpError(400, 'The header Content-Type has no boundary between the parts of the form.')
  }
}

/** @throws HttpError for a file that is too large, when it has been read to its end */
async function save(stream: Readable, path: string, count: (numBytes: number) => void): Promise<void> {
  let refusal: unknown = null
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      if (refusal !== null) return callback()
      try {
        count(chunk.length)
      } catch (error) {
        refusal = error
        return callback()
      }
      callback(null, chunk)
    },
  })
  await pipeline(stream, counter, createWriteStream(path, { mode: 0o600, flush: true }))
  if (refusal !== null) throw refusal
}

/** `expires_after[seconds]` is how forms write what has fields of its own. */
function toObject(fields: ReadonlyMap<string, string>): object {
  const [anchor, seconds] = ['anchor', 'seconds'].map((name) => fields.get(`expires_after[${name}]`))
  return {
    purpose: fields.get('purpose'),
    ...((anchor !== undefined || seconds !== undefined) && { expires_after: { anchor, seconds } }),
  }
}

/** It is shown, and is no path: nothing is stored under it. */
function displayName(filename: string): string {
  return filename.replaceAll(/[\p{Cc}\p{Cf}]/gu, '').slice(0, 255) || 'file.jsonl'
}

function isStream(body: unknown): body is Readable {
  return typeof body === 'object' && body !== null && 'pipe' in body
}
