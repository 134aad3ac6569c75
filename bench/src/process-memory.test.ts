import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { MemorySampler } from './process-memory.ts'

it.runIf(process.platform === 'linux')('sees what a process takes for a while', async () => {
  using sampler = new MemorySampler(process.pid)
  await sleep(60)
  const before = sampler.peaks().engineBytes
  expect(before).toBeGreaterThan(10e6)
  let block: Buffer | null = Buffer.alloc(200e6, 1)
  await sleep(100)
  block = null
  await sleep(60)
  expect(block).toBeNull()
  expect(sampler.peaks().engineBytes - before).toBeGreaterThan(180e6)
  expect(sampler.peaks().rankBytes).toEqual([])
})
