import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileListSchema, fileObjectSchema } from '@octavo/sdk/protocol'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { createApp } from '../../app.ts'
import { FakeEngine } from '../../testing/fake-engine.ts'
import { formRequest, upload } from '../../testing/upload.ts'
import type { BatchOptions } from './batches-of-server.ts'
import { FileStore } from './file-store.ts'
import { StorageFolder } from './storage-folder.ts'

const root = await mkdtemp(path.join(tmpdir(), 'octavo-files-'))
const apps: { close(): Promise<unknown> }[] = []
afterAll(async () => {
  for (const app of apps) await app.close()
  await rm(root, { recursive: true })
})

let numFolders = 0
function open(batches: BatchOptions = {}, options: object = {}) {
  const folder = path.join(root, String(numFolders++))
  const app = createApp({ engine: new FakeEngine(), version: '0', batches: { folder, ...batches }, ...options })
  apps.push(app)
  const post = async (...args: Parameters<typeof formRequest>) =>
    app.inject({ method: 'POST', url: '/v1/files', ...(await formRequest(...args)) })
  return { app, folder, post }
}

describe('files', () => {
  it('are uploaded, listed, read and deleted', async () => {
    const { app, folder } = open()
    const [a, b] = [await upload(app, 'one\n'), await upload(app, 'two\n')]
    const list = fileListSchema.parse((await app.inject('/v1/files?order=asc')).json())
    expect(new Set(list.data.map(({ id }) => id))).toEqual(new Set([a, b]))
    expect(list).toMatchObject({ has_more: false })
    const one = fileObjectSchema.parse((await app.inject(`/v1/files/${a}`)).json())
    expect(one).toMatchObject({ id: a, object: 'file', bytes: 4, filename: 'in.jsonl', purpose: 'batch' })
    const content = await app.inject(`/v1/files/${a}/content`)
    expect([content.body, content.headers['content-length']]).toEqual(['one\n', '4'])
    const deleted = await app.inject({ method: 'DELETE', url: `/v1/files/${a}` })
    expect(deleted.json()).toEqual({ id: a, object: 'file', deleted: true })
    expect((await app.inject(`/v1/files/${a}`)).statusCode).toBe(404)
    expect((await readdir(path.join(folder, 'files'))).sort()).toEqual([`${b}.json`, `${b}.jsonl`])
    expect(await readdir(path.join(folder, 'incoming'))).toEqual([])
  })

  it('come in pages', async () => {
    const { app } = open()
    for (let i = 0; i < 5; i++) await upload(app, `${i}`)
    const seen: string[] = []
    for (let after = '', more = true; more;) {
      const page = fileListSchema.parse((await app.inject(`/v1/files?limit=2${after}`)).json())
      seen.push(...page.data.map(({ id }) => id))
      expect([page.first_id, page.last_id]).toEqual([page.data[0]?.id, page.data.at(-1)?.id])
      ;[after, more] = [`&after=${page.last_id}`, page.has_more]
    }
    expect(new Set(seen).size).toBe(5)
    expect((await app.inject('/v1/files?after=file-x')).statusCode).toBe(400)
    for (const query of ['limit=0', 'limit=x', 'limit=10001', 'order=up'])
      expect((await app.inject(`/v1/files?${query}`)).statusCode).toBe(400)
    expect((await app.inject('/v1/files?purpose=batch_output')).json().data).toEqual([])
  })

  it.each(['../../etc/passwd', '..%2f..%2fbatches', 'file-../../lock', '%00', 'a'.repeat(5000)])(
    'have no other names than ours: %s',
    async (name) => {
      const { app } = open()
      await upload(app, 'x')
      for (const url of [`/v1/files/${name}`, `/v1/files/${name}/content`, `/v1/batches/${name}`]) {
        const { statusCode } = await app.inject(url)
        expect([url, statusCode >= 400 && statusCode < 500]).toEqual([url, true])
      }
    },
  )

  it.each([
    ['../../../evil.jsonl', 'evil.jsonl'],
    ['a/b\\c.jsonl', 'c.jsonl'],
    ['\u202eevil\u0007.jsonl', 'evil.jsonl'],
    ['ünï codé.jsonl', 'ünï codé.jsonl'],
    ['x'.repeat(1000), 'x'.repeat(255)],
  ])('are shown under a name that does no harm: %j', async (filename, shown) => {
    const { app, post, folder } = open()
    const response = await post('x', { filename })
    expect(response.json()).toMatchObject({ filename: shown })
    expect(await readdir(root)).not.toContain('evil.jsonl')
    expect((await readdir(folder)).sort()).toEqual(['batches', 'files', 'incoming', 'lock'])
    expect((await app.inject(`/v1/files/${response.json().id}/content`)).body).toBe('x')
  })

  it('are refused where the form is wrong', async () => {
    const { app, post, folder } = open({ maxFileBytes: 1000, maxStoredBytes: 2500 })
    const part = 'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n'
    const twoFiles = {
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
      payload: `--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n${part}--b\r\n${part}--b--`,
    }
    const failures = [
      [await post('x', { purpose: 'fine-tune' }), 400, /^purpose: must be "batch"/],
      [await post(null), 400, /^file: is required/],
      [await post('x', { colour: 'blue' }), 400, /^colour: is one too many/],
      [await app.inject({ method: 'POST', url: '/v1/files', ...twoFiles }), 400, /^file: is one too many/],
      [await post('x'.repeat(1001)), 413, /more than 1000 bytes/],
      [
        await post('x', { 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': '5' }),
        400,
        /^expires_after\.seconds/,
      ],
      [await app.inject({ method: 'POST', url: '/v1/files', payload: { purpose: 'batch' } }), 400, /must be a form/],
      [
        await app.inject({
          method: 'POST',
          url: '/v1/files',
          headers: { 'content-type': 'multipart/form-data' },
          payload: 'x',
        }),
        400,
        /no boundary/,
      ],
      [
        await app.inject({
          method: 'POST',
          url: '/v1/files',
          headers: { 'content-type': 'multipart/form-data; boundary=b' },
          payload: '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf',
        }),
        400,
        /form is not valid/,
      ],
    ] as const
    for (const [response, status, message] of failures) {
      expect([response.statusCode, response.json().error.message]).toEqual([status, expect.stringMatching(message)])
    }
    for (let i = 0; i < 2; i++) expect((await post('x'.repeat(1000))).statusCode).toBe(200)
    const full = await post('x'.repeat(1000))
    expect([full.statusCode, full.json().error.message]).toEqual([413, expect.stringMatching(/All files together/)])
    expect(await readdir(path.join(folder, 'incoming'))).toEqual([])
    expect(await readdir(path.join(folder, 'files'))).toHaveLength(4)
  })

  it('larger than a body may be are taken', async () => {
    const { post } = open({}, { bodyLimit: 1000 })
    expect((await post('x'.repeat(100_000))).json()).toMatchObject({ bytes: 100_000 })
  })

  it('are each tenant’s own', async () => {
    const { app } = open({}, { apiKeys: ['a', 'b'] })
    const [a, b] = [{ authorization: 'Bearer a' }, { authorization: 'Bearer b' }]
    const id = await upload(app, 'secret', a)
    expect((await app.inject({ url: '/v1/files', headers: b })).json().data).toEqual([])
    for (const url of [`/v1/files/${id}`, `/v1/files/${id}/content`])
      expect((await app.inject({ url, headers: b })).statusCode).toBe(404)
    expect((await app.inject({ method: 'DELETE', url: `/v1/files/${id}`, headers: b })).statusCode).toBe(404)
    expect((await app.inject({ url: `/v1/files/${id}/content`, headers: a })).body).toBe('secret')
    expect((await app.inject('/v1/files')).statusCode).toBe(401)
    const form = await formRequest('x')
    expect((await app.inject({ method: 'POST', url: '/v1/files', ...form })).statusCode).toBe(401)
  })

  it('are there after a restart, and gone when they expire', async () => {
    const { app, folder, post } = open()
    const expiring = await post('x', { 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': '3600' })
    const id = await upload(app, 'kept')
    await app.close()
    const { app: again } = open({ folder })
    expect((await again.inject('/v1/files')).json().data).toHaveLength(2)
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_601_000 })
    try {
      const list = await again.inject('/v1/files')
      expect(list.json().data.map((file: { id: string }) => file.id)).toEqual([id])
      expect((await again.inject(`/v1/files/${expiring.json().id}/content`)).statusCode).toBe(404)
      await upload(again, 'y')
      expect(await readdir(path.join(folder, 'files'))).toHaveLength(4)
    } finally {
      vi.useRealTimers()
    }
  })

  it('that have expired take no room from others', async () => {
    const { post } = open({ maxStoredBytes: 1500 })
    const expiry = { 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': '3600' }
    expect((await post('x'.repeat(1000), expiry)).statusCode).toBe(200)
    expect((await post('x'.repeat(1000))).statusCode).toBe(413)
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_601_000 })
    try {
      expect((await post('x'.repeat(1000))).statusCode).toBe(200)
    } finally {
      vi.useRealTimers()
    }
  })

  it('that cannot be kept leave nothing behind, and are told of', async () => {
    const { app, post, folder } = open()
    await app.ready()
    const spy = vi
      .spyOn(StorageFolder.prototype, 'writeJson')
      .mockRejectedValue(Object.assign(new Error('no space left'), { code: 'ENOSPC', syscall: 'write' }))
    try {
      expect((await post('x')).statusCode).toBe(507)
    } finally {
      spy.mockRestore()
    }
    expect(await readdir(path.join(folder, 'files'))).toEqual([])
    expect((await post('x')).statusCode).toBe(200)
  })

  it('are counted, those on their way beside those that have come since', async () => {
    const storage = await StorageFolder.open(path.join(root, String(numFolders++)))
    const files = await FileStore.open(storage, { maxFileBytes: 1000, maxStoredBytes: 1000 })
    const [long, short] = [files.meter(), files.meter()]
    short.add(600)
    short.end()
    const incoming = storage.newPath()
    await writeFile(incoming, 'x'.repeat(600))
    const kept = await files.adopt(incoming, { tenant: null, filename: 'a', purpose: 'batch', expiresAfter: null })
    expect(() => long.add(600)).toThrow(/All files together/)
    await files.delete(kept)
    expect(() => long.add(1)).not.toThrow()
    await storage.close()
  })

  it('that somebody took from the folder are an error as any other', async () => {
    const { app, folder } = open()
    const id = await upload(app, 'x')
    await rm(path.join(folder, 'files', `${id}.jsonl`))
    const response = await app.inject(`/v1/files/${id}/content`)
    expect([response.statusCode, response.json().error.code]).toEqual([500, 500])
  })

  it('are in one server at a time', async () => {
    const { app, folder } = open()
    await app.ready()
    const { app: other } = open({ folder })
    await expect(other.ready()).rejects.toThrow(/is in use by process/)
    apps.splice(apps.indexOf(other), 1)
    await app.close()
    await expect(open({ folder }).app.ready()).resolves.toBeDefined()
  })

  it('cannot be where nothing can be written', async () => {
    const { app } = open({ folder: path.join(import.meta.filename, 'nowhere') })
    await expect(app.ready()).rejects.toThrow(/batchFolder: .*nowhere cannot be used \(ENOTDIR\)/)
    apps.splice(apps.indexOf(app), 1)
  })
})
