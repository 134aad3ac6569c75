import path from 'node:path'
import { expect, test } from 'vitest'
import { EngineProcess } from './engine-process.ts'

const module = path.join(import.meta.dirname, 'fake-engine.case.ts')
const options = (modelPath: string) => ({ type: 'load', module, options: { modelPath, threads: 1 } }) as const

test('an engine is loaded, measured and served in a process of its own', async () => {
  await using host = new EngineProcess('Fake')
  const loaded = await host.ask(options('a model'))
  expect(loaded).toMatchObject({ description: 'fake of a model' })
  expect((await host.ask({ type: 'first-token' })).loadAndFirstTokenMs).toBeGreaterThanOrEqual(loaded.loadMs)
  const plan = { prefill: [8], decode: [1, 2], promptLength: 4, numTokens: 4 }
  const speed = await host.ask({ type: 'speed', plan })
  expect(speed.prefill[8]).toBeGreaterThan(0)
  expect(Object.keys(speed.decode)).toEqual(['1', '2'])
  expect(speed.peakRssBytes).toBeGreaterThan(1e6)
  const arrivals = [{ atMs: 0, prompt: [1, 2, 3], numTokens: 5 }]
  const records = await host.ask({ type: 'serve', arrivals, options: { maxTtftMs: null, timeoutMs: 10_000 } })
  expect(records).toMatchObject([{ promptLength: 3, tokensAtMs: { length: 5 }, isComplete: true }])
})

test('what an engine throws comes back, and the process goes on', async () => {
  await using host = new EngineProcess('Fake')
  await expect(host.ask(options('throw'))).rejects.toThrow('Fake: the model is broken')
  await expect(host.ask({ type: 'prepare', need: { numSeqs: 1, maxModelLen: 8 } })).rejects.toThrow('No engine')
})

test('a process that ends fails what it was asked, and all that follows', async () => {
  await using host = new EngineProcess('Fake')
  await host.ask(options('exit'))
  const need = { numSeqs: 1, maxModelLen: 8 }
  await expect(host.ask({ type: 'prepare', need })).rejects.toThrow('Fake: its process ended (3)')
  await expect(host.ask({ type: 'prepare', need })).rejects.toThrow('Fake: its process has ended')
})
