import { BackendUnavailableError, InsufficientMemoryError } from '../../errors.ts'
import { formatBytes } from '../../util/format-bytes.ts'
import { messageOf } from '../../util/message-of.ts'

/** What an op's error is judged by. */
export interface FailedOp {
  readonly op: string
  readonly isGpu: boolean
  /** Left on the device, as far as we know. */
  readonly availableBytes: number
}

const resourceExhausted = 8

/** TF_Code in the binding's messages, `Invalid TF_Status: 8\nMessage: …`; null where it is no such message. */
function statusCode(message: string): number | null {
  const found = /Invalid TF_Status: (\d+)/.exec(message)
  return found === null ? null : Number(found[1])
}

/**
 * TensorFlow's error as one that a caller can act on: out of memory, or a device that fails. Anything else is our own
 * bug, or a user's use of tfjs, and says which op it was.
 */
export function tensorflowError(error: unknown, { op, isGpu, availableBytes }: FailedOp): Error {
  const message = messageOf(error)
  const [reason = message] = message.replace(/^[^]*?Message: /, '').split('\n')
  if (statusCode(message) === resourceExhausted) {
    const bytes = requestedBytes(message)
    return new InsufficientMemoryError(
      `TensorFlow ran out of ${isGpu ? 'device memory' : 'memory'} in ${op}${bytes === 0 ? '' : `, which asked for ${formatBytes(bytes)}`} (${reason}). ` +
        'Lower kvCacheMemory, maxNumBatchedTokens or maxNumSeqs, use a smaller or quantized checkpoint' +
        (isGpu ? ', or end other programs on this GPU (`nvidia-smi` lists them).' : ', or free memory.'),
      bytes,
      availableBytes,
    )
  }
  if (/\bCUDA|cuDNN|cuBLAS|CUBLAS|CUDNN|device kernel image|NVIDIA|XLA_GPU/.test(message)) {
    return new BackendUnavailableError(
      `The GPU failed in TensorFlow's ${op}: ${reason}. Restart the process; if it happens again, compare the driver (\`nvidia-smi\`) with the CUDA that \`octavo env\` shows for TensorFlow, or choose another backend.`,
      { cause: error },
    )
  }
  return new Error(`TensorFlow's op ${op} failed: ${reason}`, { cause: error })
}

/** From `OOM when allocating tensor with shape[16,1024] and type float …`; 0 where it does not say. */
function requestedBytes(message: string): number {
  const found = /shape\[([\d,]*)\] and type (\w+)/.exec(message)
  if (found === null) return 0
  const [, shape = '', type = ''] = found
  const bytes = { half: 2, bfloat16: 2, uint8: 1, int8: 1, bool: 1, int64: 8, double: 8 }[type] ?? 4
  return shape.split(',').reduce((product, dim) => product * Number(dim), bytes)
}
