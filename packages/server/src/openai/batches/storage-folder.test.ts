import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { StorageFolder } from './storage-folder.ts'

const root = await mkdtemp(path.join(tmpdir(), 'octavo-storage-'))
afterAll(() => rm(root, { recursive: true }))

const lockOf = (folder: string): string => path.join(folder, 'lock')
let numFolders = 0

async function lockedFolder(owner: object, ageMs = 0): Promise<string> {
  const folder = path.join(root, String(numFolders++))
  await (await StorageFolder.open(folder)).close()
  await writeFile(lockOf(folder), JSON.stringify(owner))
  const at = new Date(Date.now() - ageMs)
  await utimes(lockOf(folder), at, at)
  return folder
}

/** No process has it: it is beyond Linux's largest. */
const nobody = 2 ** 22 + 1

describe('the lock of a folder', () => {
  it.each([
    ['a process that is gone', { pid: nobody, host: hostname(), startedAt: 1 }, 0],
    ['an earlier process with our number, as in a container', { pid: process.pid, host: hostname(), startedAt: 1 }, 0],
    ['another host that has not touched it for long', { pid: 1, host: 'other', startedAt: 1 }, 40_000],
    ['nobody that can be told', {}, 0],
  ])('of %s is taken over', async (_, owner, ageMs) => {
    const folder = await lockedFolder(owner, ageMs)
    const opened = await StorageFolder.open(folder)
    expect(JSON.parse(await readFile(lockOf(folder), 'utf8'))).toMatchObject({ pid: process.pid })
    await opened.close()
    await expect(stat(lockOf(folder))).rejects.toThrow(/ENOENT/)
  })

  it.each([
    ['another host', { pid: 1, host: 'other', startedAt: 1 }],
    ['another process', { pid: process.ppid, host: hostname(), startedAt: 1 }],
    ['this one', { pid: process.pid, host: hostname(), startedAt: performance.timeOrigin }],
  ])('of %s is heeded', async (_, owner) => {
    const folder = await lockedFolder(owner)
    await expect(StorageFolder.open(folder)).rejects.toThrow(/is in use by process \d+ on/)
    expect(JSON.parse(await readFile(lockOf(folder), 'utf8'))).toEqual(owner)
  })
})

describe('what is written', () => {
  it('is whole or not there, and what is damaged is passed over', async () => {
    const folder = path.join(root, String(numFolders++))
    const storage = await StorageFolder.open(folder)
    await Promise.all(Array.from({ length: 20 }, (_, i) => storage.writeJson('batches', 'one', { i })))
    await writeFile(storage.pathOf('batches', 'two.json'), '{"half')
    expect(await storage.readAll('batches')).toEqual([{ i: expect.any(Number) }])
    expect((await stat(storage.pathOf('batches', 'one.json'))).mode & 0o077).toBe(0)
    await storage.removeJson('batches', 'one')
    expect(await storage.readAll('batches')).toEqual([])
    await storage.close()
  })
})
