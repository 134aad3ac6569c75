import { fork } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { uniformAt } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { readFolder, temporaryFolder } from './saved-models.case.ts'

const program = fileURLToPath(new URL('killed-run.case.ts', import.meta.url))
const numKills = 10

describe('a run that is killed at any moment', () => {
  it('goes on where it was, and gives the bytes of one that was not', async () => {
    const folder = temporaryFolder()
    const whole = join(folder, 'whole')
    const { durationMs } = await run(whole, null)
    const expected = readFolder(whole)
    expect(Object.keys(expected).filter((file) => file.endsWith('.safetensors')).length).toBeGreaterThan(2)
    let wasKilled = 0
    for (let i = 0; i < numKills; i++) {
      const target = join(folder, `killed-${i}`)
      const killed = await run(target, uniformAt(Date.now(), i) * durationMs)
      if (killed.signal !== null) wasKilled++
      // Whatever is there by then is whole.
      if (existsSync(target)) expect(readFolder(target)).toEqual(expected)
      if (killed.signal !== null && !(existsSync(target) && !hasWork(folder, i)))
        expect((await run(target, null)).code).toBe(0)
      expect(readFolder(target), `kill ${i}`).toEqual(expected)
      expect(hasWork(folder, i)).toBe(false)
    }
    expect(wasKilled).toBeGreaterThan(numKills / 2)
  }, 180_000)
})

function hasWork(folder: string, i: number): boolean {
  return readdirSync(folder).includes(`.killed-${i}.octavo`)
}

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** Since it had its modules. */
  readonly durationMs: number
}

/** `killAfterMs` counts from when the program has its modules. */
function run(target: string, killAfterMs: number | null): Promise<Ended> {
  const child = fork(program, ['qwen3-moe', target], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  let start = 0
  child.once('message', () => {
    start = performance.now()
    if (killAfterMs !== null) setTimeout(() => child.kill('SIGKILL'), killAfterMs)
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve({ code, signal, durationMs: performance.now() - start }))
  })
}
