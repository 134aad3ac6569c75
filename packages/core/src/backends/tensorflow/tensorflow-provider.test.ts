import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { LLM } from '../../engine/llm.ts'
import { createBackend } from '../backend.ts'
import { skipReason } from './tensorflow-available.case.ts'
import { tensorflowBackendWith } from './tensorflow-module.ts'
import { backendProvider } from './tensorflow-provider.ts'

afterEach(() => vi.unstubAllEnvs())

describe('the provider of tensorflow', () => {
  it('says what is missing, and is not taken then', async () => {
    vi.stubEnv('OCTAVO_TENSORFLOW', '/nowhere/tfjs_binding.node')
    const probe = await backendProvider.probe()
    expect(probe).toMatchObject({ available: false, detail: expect.stringMatching(/octavo tensorflow link/) })
    const { report } = await createBackend('auto', { env: {} })
    expect(report.find(({ name }) => name === 'tensorflow')).toMatchObject({ available: false, chosen: false })
    await expect(createBackend('tensorflow', { env: {} })).rejects.toThrow(
      /"tensorflow".*cannot run here: .*octavo tensorflow/,
    )
  })

  it('takes the options that it has', async () => {
    await expect(backendProvider.probe({ threads: 2 })).rejects.toThrow('threads: is not an option of tensorflow')
    await expect(backendProvider.probe({ fusedOps: 1 })).rejects.toThrow('fusedOps: must be true or false, got 1')
    await expect(backendProvider.create({ dtype: 'int8' })).rejects.toThrow(/dtype: must be one of float32/)
  })
})

/** Then the probe loads TensorFlow to see whether it can use the GPU. */
const hasGpuDriver = existsSync('/dev/nvidiactl')

const question = [{ role: 'user', content: 'What is 47 + 35?' }] as const

describe.skipIf(skipReason !== null)('an engine thread on tensorflow', { timeout: 120_000 }, () => {
  it('answers in float32 and in bfloat16, one after the other and at once', async () => {
    const load = (dtype: 'float32' | 'bfloat16'): Promise<LLM> =>
      LLM.load('octavo-tiny', { backend: 'tensorflow', modules: [tensorflowBackendWith({ dtype })] })
    const first = await load('float32')
    expect(first.engine.info).toMatchObject({ backend: 'tensorflow', isBatchInvariant: false })
    expect(await first.infer(question, { temperature: 0 })).toBe('47 + 35 = 82.')
    await first.shutdown()
    const both = await Promise.all([load('bfloat16'), load('float32')])
    const answers = await Promise.all(both.map((llm) => llm.infer(question, { temperature: 0 })))
    expect(answers).toEqual(['47 + 35 = 82.', '47 + 35 = 82.'])
    await Promise.all(both.map((llm) => llm.shutdown()))
  })

  it.skipIf(hasGpuDriver)('is not even loaded where another backend is asked for', () => {
    const source = `
      const { createBackend } = await import(${JSON.stringify(new URL('../backend.ts', import.meta.url).href)})
      const { report } = await createBackend('cpu')
      const isLoaded = process.report.getReport().sharedObjects.some((path) => path.includes('libtensorflow'))
      console.log(report.find(({ name }) => name === 'tensorflow').available, isLoaded)
    `
    const output = execFileSync(process.execPath, ['--input-type=module', '--eval', source], { encoding: 'utf8' })
    expect(output).toBe('true false\n')
  })
})
