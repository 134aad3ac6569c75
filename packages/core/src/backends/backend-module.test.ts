import { describe, expect, it } from 'vitest'
import { loadBackendModules } from './backend-module.ts'

const moduleOf = (source: string): string => `data:text/javascript,${encodeURIComponent(source)}`

describe('loadBackendModules', () => {
  it("passes the module's options on and keeps its name", async () => {
    const url = moduleOf(`export const backendProvider = {
      name: 'other', priority: 7,
      probe: async (options) => ({ available: true, detail: JSON.stringify(options) }),
      create: async (options) => { throw new Error(JSON.stringify(options)) },
    }`)
    const [provider] = await loadBackendModules([{ name: 'mine', url, options: { threads: 3 } }])
    expect(provider).toMatchObject({ name: 'mine', priority: 7 })
    expect(await provider?.probe()).toEqual({ available: true, detail: '{"threads":3}' })
    await expect(provider?.create()).rejects.toThrow('{"threads":3}')
  })

  it.each([
    ['a module that throws', moduleOf('throw new Error("no such library")'), /no such library/],
    ['a module without a provider', moduleOf('export const backendProvider = { name: "x" }'), /no backendProvider/],
    ['a file that is not there', 'file:///nowhere/module.js', /nowhere/],
  ])('%s is a backend that is not available', async (_, url, detail) => {
    const [provider] = await loadBackendModules([{ name: 'mine', url }])
    expect(await provider?.probe()).toEqual({ available: false, detail: expect.stringMatching(detail) })
    await expect(provider?.create()).rejects.toThrow(detail)
  })
})
