import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { LoadedTensorflow, TensorflowUnavailable } from './load-tensorflow.ts'

const root = mkdtempSync(path.join(os.tmpdir(), 'octavo-load-'))
const linked = process.env['OCTAVO_TENSORFLOW']?.trim() ?? ''

afterAll(() => rmSync(root, { recursive: true, force: true }))
beforeEach(() => vi.resetModules())
afterEach(() => vi.unstubAllEnvs())

/** Anew: the module keeps what it found first. */
async function load(tensorflow: string | undefined): Promise<LoadedTensorflow | TensorflowUnavailable> {
  vi.stubEnv('OCTAVO_TENSORFLOW', tensorflow)
  // Nothing of the user who runs the tests.
  vi.stubEnv('XDG_DATA_HOME', root)
  const { loadTensorflow } = await import('./load-tensorflow.ts')
  return loadTensorflow()
}

function file(name: string, content: string): string {
  const found = path.join(root, name)
  writeFileSync(found, content)
  return found
}

describe('loadTensorflow where there is none', () => {
  it('says what to do', async () => {
    expect(await load(undefined)).toEqual({ reason: expect.stringContaining('`octavo tensorflow link`') })
  })

  it('names a file that does not exist', async () => {
    const missing = path.join(root, 'missing.node')
    expect(await load(missing)).toEqual({ reason: expect.stringMatching(/OCTAVO_TENSORFLOW names .*missing.node/) })
  })

  it('says why a file cannot be loaded', async () => {
    expect(await load(file('broken.node', 'not a library'))).toEqual({
      reason: expect.stringMatching(/broken.node could not be loaded: .*`octavo tensorflow link`/),
    })
  })

  it('takes no other module for the binding', async () => {
    expect(await load(file('other.cjs', 'module.exports = { TF_Version: "2.21.0" }'))).toEqual({
      reason: expect.stringContaining("it is not tfjs-node's binding"),
    })
  })
})

const describeLinked = describe.skipIf(linked === '')

describeLinked('loadTensorflow with a linked TensorFlow (skipped without OCTAVO_TENSORFLOW)', () => {
  it("gives the binding with tfjs-node's backend over it, once", async () => {
    const found = await load(linked)
    if ('reason' in found) expect.fail(found.reason)
    expect(found.version).toMatch(/^2\.\d+\.\d+/)
    expect(found.version).toBe(found.manifest?.version)
    expect(found.binding.listDevices?.().map(({ type }) => type)).toContain('CPU')
    const backend = new found.NodeJSKernelBackend(found.binding, found.packageName)
    expect(backend.floatPrecision()).toBe(32)
    const { loadTensorflow } = await import('./load-tensorflow.ts')
    expect(loadTensorflow()).toBe(found)
  })

  it('says nothing of how TensorFlow was compiled, unless asked to', () => {
    const url = new URL('./load-tensorflow.ts', import.meta.url).href
    const program = `
      import { loadTensorflow } from ${JSON.stringify(url)}
      const { binding, NodeJSKernelBackend, packageName } = loadTensorflow()
      new NodeJSKernelBackend(binding, packageName)`
    const stderrOf = (level: string | undefined): string => {
      const env = { ...process.env, OCTAVO_TENSORFLOW: linked, TF_CPP_MIN_LOG_LEVEL: level }
      const args = ['--input-type=module', '-e', program]
      return spawnSync(process.execPath, args, { env, encoding: 'utf8' }).stderr
    }
    expect(stderrOf(undefined)).not.toContain('cpu_feature_guard')
    expect(stderrOf('0')).toContain('cpu_feature_guard')
    expect(stderrOf('')).toContain('cpu_feature_guard')
  })

  it('loads in threads, one after the other and several at once', async () => {
    const url = new URL('./load-tensorflow.ts', import.meta.url).href
    const code = `
      const { parentPort } = require('node:worker_threads')
      import(${JSON.stringify(url)}).then(({ loadTensorflow }) => {
        const { binding } = loadTensorflow()
        const { TF_FLOAT, TF_ATTR_TYPE } = binding
        const x = binding.createTensor([2], TF_FLOAT, Float32Array.of(1, 2))
        const [y] = binding.executeOp('AddV2', [{ name: 'T', type: TF_ATTR_TYPE, value: TF_FLOAT }], [x, x], 1)
        parentPort.postMessage([...binding.tensorDataSync(y.id)])
      })`
    const run = (): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const worker = new Worker(code, {
          eval: true,
          execArgv: [],
          env: { ...process.env, OCTAVO_TENSORFLOW: linked },
        })
        let answer: unknown = null
        worker.once('message', (value) => (answer = value))
        worker.once('error', reject)
        worker.once('exit', () => resolve(answer))
      })
    expect([await run(), await run()]).toEqual([
      [2, 4],
      [2, 4],
    ])
    expect(await Promise.all([run(), run(), run()])).toEqual(Array.from({ length: 3 }, () => [2, 4]))
  })
})
