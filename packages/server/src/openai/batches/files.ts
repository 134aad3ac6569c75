import {
  fileDeletedSchema,
  fileListSchema,
  fileObjectSchema,
  fileQuerySchema,
  uploadSchema,
} from '@octavo/sdk/protocol'
import type { FileDeleted, FileList, FileObject } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addEndpoint } from '../../endpoint.ts'
import { HttpError } from '../../http-error.ts'
import { parseWire } from '../../parse-wire.ts'
import type { ServerContext } from '../../server-context.ts'
import { openaiDialect } from '../dialect.ts'
import type { Batches } from './batches-of-server.ts'
import { idIn } from './id-in.ts'
import { listPage } from './list-page.ts'
import { readUpload } from './read-upload.ts'

/** /v1/files: what batches read and write. */
export function addFiles(app: FastifyInstance, server: ServerContext, batches: Batches): void {
  const common = { dialect: openaiDialect }
  const tag = 'Batches'
  // In a scope of its own: nobody else takes forms.
  app.register(async (forms) => {
    forms.addContentTypeParser('multipart/form-data', (_request, payload, done) => done(null, payload))
    addEndpoint(forms, server, {
      ...common,
      methods: ['GET', 'POST'],
      url: '/files',
      description: {
        GET: { summary: 'The files there are', tag, query: fileQuerySchema, answer: fileListSchema },
        POST: {
          summary: 'Upload a file of requests',
          tag,
          request: uploadSchema,
          requestType: 'multipart/form-data',
          answer: fileObjectSchema,
        },
      },
      handler: (request, reply) => (request.method === 'POST' ? upload(request, reply) : list(request, reply)),
    })
  })
  addEndpoint(app, server, {
    ...common,
    methods: ['GET', 'DELETE'],
    url: '/files/:id',
    takesBody: false,
    description: {
      GET: { summary: 'What is known of a file', tag, answer: fileObjectSchema },
      DELETE: { summary: 'Delete a file', tag, answer: fileDeletedSchema },
    },
    handler: (request, reply) => (request.method === 'DELETE' ? remove(request, reply) : one(request, reply)),
  })
  addEndpoint(app, server, {
    ...common,
    methods: ['GET'],
    url: '/files/:id/content',
    description: { summary: 'What a file holds', tag, answerType: 'application/octet-stream' },
    handler: content,
  })

  const tenantOf = ({ raw }: FastifyReply): string | null => server.inFlight.callerOf(raw).tenant

  async function upload(request: FastifyRequest, reply: FastifyReply): Promise<FileObject> {
    const { files } = await batches.open()
    return readUpload(request, files, tenantOf(reply))
  }

  async function list(request: FastifyRequest, reply: FastifyReply): Promise<FileList> {
    const { after, limit = 10_000, order = 'desc', purpose } = parseWire(fileQuerySchema, request.query)
    const { files } = await batches.open()
    const all = files.list(tenantOf(reply)).filter((file) => purpose === undefined || file.purpose === purpose)
    return listPage(order === 'asc' ? all : all.reverse(), { after, limit })
  }

  async function one(request: FastifyRequest, reply: FastifyReply): Promise<FileObject> {
    const { files } = await batches.open()
    return files.get(tenantOf(reply), idIn(request))
  }

  async function remove(request: FastifyRequest, reply: FastifyReply): Promise<FileDeleted> {
    const { files, runner } = await batches.open()
    const file = files.get(tenantOf(reply), idIn(request))
    const reader = runner.readerOf(file.id)
    if (reader !== null)
      throw new HttpError(409, `The file is read by ${reader}; cancel that batch, or wait for its end.`)
    await files.delete(file)
    return { id: file.id, object: 'file', deleted: true }
  }

  async function content(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { files } = await batches.open()
    const file = files.get(tenantOf(reply), idIn(request))
    reply.type('application/octet-stream').header('content-length', file.bytes)
    return reply.send(files.read(file))
  }
}
