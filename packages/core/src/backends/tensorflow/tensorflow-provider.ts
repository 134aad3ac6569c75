import type { DType } from '../../tensor/dtype.ts'
import { existsSync } from 'node:fs'
import { readEnv } from '../../config/env.ts'
import { InvalidConfigError } from '../../errors.ts'
import type { BackendOptions, BackendProbe, BackendProvider } from '../backend-pack.ts'
import { findTensorflow, loadTensorflow } from './libtensorflow/load-tensorflow.ts'
import type { FoundTensorflow } from './libtensorflow/load-tensorflow.ts'
import type { TensorflowOptions } from './tensorflow-pack.ts'

/** Before the native backend with a GPU; behind it, and before wasm, without one. */
const priorities = { gpu: 30, cpu: 15 }

/**
 * TensorFlow is loaded only where a GPU makes it the likely choice: loading takes seconds, and on CPUs the file is what
 * the answer depends on.
 */
export const backendProvider: BackendProvider = {
  name: 'tensorflow',
  priority: priorities.cpu,
  async probe(options) {
    parseOptions(options)
    const found = findTensorflow()
    if ('reason' in found) return { available: false, detail: found.reason }
    return mayHaveGpu(found) ? probeLoaded() : { available: true, detail: `${describe(found)} on CPU` }
  },
  async create(options) {
    const { createTensorflowPack } = await import('./tensorflow-pack.ts')
    return createTensorflowPack(parseOptions(options))
  },
}

function probeLoaded(): BackendProbe {
  const loaded = loadTensorflow()
  if ('reason' in loaded) return { available: false, detail: loaded.reason }
  const isGpu = loaded.binding.isUsingGpuDevice()
  const detail = `TensorFlow ${loaded.version} on ${isGpu ? 'GPU' : 'CPU: it found no GPU that it can use'}`
  return { available: true, detail, priority: isGpu ? priorities.gpu : priorities.cpu }
}

function describe({ manifest, tfjsNode }: FoundTensorflow): string {
  return manifest === null ? `TensorFlow under ${tfjsNode.name}` : `TensorFlow ${manifest.version}`
}

/** Whether a driver is there and the process may use it. What link knows to be built for CPUs has no use for it. */
function mayHaveGpu({ manifest }: FoundTensorflow): boolean {
  if (manifest?.flavour === 'cpu') return false
  const visible = readEnv().cudaVisibleDevices
  if (visible === '' || visible === '-1') return false
  return ['/dev/nvidiactl', '/dev/dxg', '/dev/kfd'].some((device) => existsSync(device))
}

const dtypes: readonly DType[] = ['float32', 'bfloat16', 'float16']

function parseOptions(options: BackendOptions = {}): TensorflowOptions {
  for (const name of Object.keys(options)) {
    if (name !== 'dtype' && name !== 'fusedOps')
      throw new InvalidConfigError(name, 'is not an option of tensorflow; those are dtype and fusedOps')
  }
  const value = options['dtype']
  const dtype = dtypes.find((known) => known === value)
  if (value !== undefined && dtype === undefined)
    throw new InvalidConfigError('dtype', `must be one of ${dtypes.join(', ')}, got ${JSON.stringify(value)}`)
  const fusedOps = options['fusedOps']
  if (fusedOps !== undefined && typeof fusedOps !== 'boolean')
    throw new InvalidConfigError('fusedOps', `must be true or false, got ${JSON.stringify(fusedOps)}`)
  return { ...(dtype !== undefined && { dtype }), ...(fusedOps !== undefined && { fusedOps }) }
}
