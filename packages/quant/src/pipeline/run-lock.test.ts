import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { QuantizationError } from '@octavo/core/quantization'
import { describe, expect, it } from 'vitest'
import { roundToNearest } from '../quantize/round-to-nearest-pass.ts'
import { fixturePath } from '../model/fixture-layers.case.ts'
import { pipeline } from './pipeline.ts'
import { RunLock } from './run-lock.ts'
import { temporaryFolder } from './saved-models.case.ts'

function place(): { target: string; file: string } {
  const folder = temporaryFolder()
  return { target: join(folder, 'w4'), file: join(folder, '.w4.octavo.lock') }
}

describe('RunLock', () => {
  it('lets one run at a time have a target, and names it', () => {
    const { target, file } = place()
    const lock = RunLock.acquire(target)
    expect(() => RunLock.acquire(target)).toThrow(QuantizationError)
    expect(() => RunLock.acquire(target)).toThrow(`process id ${process.pid} on ${hostname()}`)
    expect(() => RunLock.acquire(target)).toThrow(`remove ${file}`)
    lock.release()
    RunLock.acquire(target).release()
    expect(readdirSync(join(target, '..'))).toEqual([])
  })

  it('takes over what a run has left that is no more', () => {
    const { target, file } = place()
    const ended = spawnSync(process.execPath, ['-e', '']).pid
    for (const left of [
      { pid: ended, host: hostname(), start: null },
      // The id of another process by now: Linux tells them apart.
      ...(process.platform === 'linux' ? [{ pid: process.pid, host: hostname(), start: '1' }] : []),
    ]) {
      writeFileSync(file, JSON.stringify(left))
      const lock = RunLock.acquire(target)
      expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ pid: process.pid, host: hostname() })
      lock.release()
    }
    expect(readdirSync(join(target, '..'))).toEqual([])
  })

  it('takes nothing over that may still run: on another host, or not written yet', () => {
    const { target, file } = place()
    writeFileSync(file, JSON.stringify({ pid: 7, host: 'elsewhere', start: null }))
    expect(() => RunLock.acquire(target)).toThrow('process id 7 on elsewhere')
    writeFileSync(file, '')
    expect(() => RunLock.acquire(target)).toThrow('is being made by another run')
    utimesSync(file, 1, 1)
    RunLock.acquire(target).release()
  })

  it('is held by a pipeline while it runs, and free again when that fails', async () => {
    const { target, file } = place()
    const save = (): Promise<unknown> =>
      pipeline(fixturePath('llama'), { backend: 'wasm' })
        .apply(roundToNearest({ groupSize: 16 }))
        .save(target)
    const results = await Promise.allSettled([save(), save()])
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    const refused = results.find((result) => result.status === 'rejected')
    expect(String(refused?.reason)).toContain(`process id ${process.pid}`)
    await expect(save()).rejects.toThrow('is there already')
    expect(readdirSync(join(file, '..'))).toEqual(['w4'])
  })
})
