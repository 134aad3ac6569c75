import { getBackend, setBackend, tensor2d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { BackendUnavailableError } from '../../errors.ts'
import type { AttentionMetadata } from '../../ops/attention-metadata.ts'
import { kvWrite } from '../../ops/kv-write.ts'
import { pagedAttention } from '../../ops/paged-attention.ts'
import type { KvStorage } from '../../tensor/kv-storage.ts'
import { loadTensorflow } from './libtensorflow/load-tensorflow.ts'
import type { TfDevice, TfjsBinding } from './libtensorflow/tfjs-binding.ts'
import { createTensorflowPack } from './tensorflow-pack.ts'

/** What a libtensorflow that computes right says of itself. */
export interface TensorflowCheck {
  readonly version: string
  readonly isUsingGpu: boolean
  /** Empty for a binding that cannot list them. */
  readonly devices: readonly TfDevice[]
  /** Why it runs without our fused ops; null where it has them. */
  readonly missingOps: string | null
}

/**
 * Loads libtensorflow and computes a matrix product and paged attention with it. Leaves tfjs's active backend as it was.
 *
 * @throws BackendUnavailableError when it cannot be loaded, fails or computes something else.
 */
export async function verifyTensorflow(): Promise<TensorflowCheck> {
  const loaded = loadTensorflow()
  if ('reason' in loaded) throw new BackendUnavailableError(loaded.reason)
  const { binding, version, fusedOps } = loaded
  checkMatMul(binding)
  await checkPagedAttention()
  return {
    version,
    isUsingGpu: binding.isUsingGpuDevice(),
    devices: binding.listDevices?.() ?? [],
    missingOps: fusedOps.missing,
  }
}

function checkMatMul(binding: TfjsBinding): void {
  const a = binding.createTensor([2, 3], binding.TF_FLOAT, Float32Array.of(1, 2, 3, 4, 5, 6))
  const b = binding.createTensor([3, 2], binding.TF_FLOAT, Float32Array.of(1, 0, 0, 1, 1, 1))
  const attrs = [
    { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT },
    { name: 'transpose_a', type: binding.TF_ATTR_BOOL, value: false },
    { name: 'transpose_b', type: binding.TF_ATTR_BOOL, value: false },
  ]
  const [product] = binding.executeOp('MatMul', attrs, [a, b], 1)
  const values = product === undefined ? [] : [...binding.tensorDataSync(product.id)].map(Number)
  for (const id of [a, b, product?.id]) if (id !== undefined) binding.deleteTensor(id)
  expectNear('a matrix product', values, [4, 5, 10, 11])
}

/** Three tokens of one head of two elements, in the second block of a cache; the last one attends to all. */
const keys = [
  [1, 0],
  [0, 1],
  [1, 1],
]
const values = [
  [1, 2],
  [3, 4],
  [5, 6],
]
const query = [2, -1]

async function checkPagedAttention(): Promise<void> {
  // Undefined, whatever its type says, where none has been chosen yet.
  const active: string | undefined = getBackend()
  const pack = await createTensorflowPack()
  await setBackend(pack.name)
  const kv = pack.createKvStorage({
    dtype: 'float32',
    numLayers: 1,
    numBlocks: 2,
    blockSize: 4,
    numKvHeads: 1,
    headDim: 2,
  })
  try {
    const output = tidy(() => [...attend(kv).dataSync()])
    const weights = keys.map(([k0 = 0, k1 = 0]) => Math.exp(query[0]! * k0 + query[1]! * k1))
    const sum = weights.reduce((total, weight) => total + weight)
    const expected = [0, 1].map((d) => weights.reduce((total, weight, j) => total + (weight / sum) * values[j]![d]!, 0))
    expectNear('paged attention', output, expected)
  } finally {
    kv.dispose()
    if (active !== undefined && active !== pack.name) await setBackend(active)
  }
}

function attend(kv: KvStorage): Tensor2D {
  const slotMapping = Int32Array.of(4, 5, 6)
  kvWrite(tensor2d(keys), tensor2d(values), { kv, layer: 0, slotMapping })
  const metadata: AttentionMetadata = {
    numTokens: 1,
    numSeqs: 1,
    blockSize: 4,
    queryStartLoc: Int32Array.of(0, 1),
    seqLens: Int32Array.of(3),
    blockTables: Int32Array.of(1),
    maxBlocksPerSeq: 1,
    slotMapping: Int32Array.of(6),
    positions: Int32Array.of(2),
  }
  const attrs = { kv, layer: 0, metadata, numHeads: 1, scale: 1, slidingWindow: null, softcap: null, sinks: null }
  return pagedAttention(tensor2d([query]), attrs)
}

/** GPUs may compute float32 products in TF32. */
function expectNear(what: string, computed: readonly number[], expected: readonly number[]): void {
  const isRight =
    computed.length === expected.length && expected.every((value, i) => Math.abs(computed[i]! - value) < 1e-2)
  if (!isRight)
    throw new BackendUnavailableError(`libtensorflow computed ${what} as [${computed.join(', ')}], not [${expected}]`)
}
