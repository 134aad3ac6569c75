import { getBackend, setBackend } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadTensorflow } from './libtensorflow/load-tensorflow.ts'
import { verifyTensorflow } from './verify-tensorflow.ts'
import { createCpuPack } from '../cpu/cpu-pack.ts'

const loaded = loadTensorflow()

describe.skipIf('reason' in loaded)('verifyTensorflow (skipped without a linked TensorFlow)', () => {
  beforeAll(async () => {
    await setBackend((await createCpuPack()).name)
  })

  it('computes on TensorFlow and leaves the active backend and no handles', async () => {
    if ('reason' in loaded) expect.fail(loaded.reason)
    const first = await verifyTensorflow()
    expect(first.version).toBe(loaded.version)
    expect(first.devices.map(({ type }) => type)).toContain('CPU')
    expect(getBackend()).toBe('cpu')
    const numHandles = loaded.binding.getNumOfTensors()
    await verifyTensorflow()
    expect(loaded.binding.getNumOfTensors()).toBe(numHandles)
  })
})
