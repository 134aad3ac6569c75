import { describe, expect, it } from 'vitest'
import { BackendUnavailableError, InsufficientMemoryError } from '../../errors.ts'
import { tensorflowError } from './tensorflow-error.ts'

function errorOf(message: string, isGpu = true): Error {
  return tensorflowError(new Error(message), { op: 'BatchMatMulV2', isGpu, availableBytes: 1000 })
}

describe('tensorflowError', () => {
  it('tells that memory ran out, how much was asked for and what to do', () => {
    const message =
      'Invalid TF_Status: 8\nMessage: {{function_node __wrapped__Fill}} OOM when allocating tensor with shape[16,1024,64] and type bfloat16 on /device:GPU:0 by allocator GPU_0_bfc [Op:Fill]\nmore'
    const error = errorOf(message)
    expect(error).toBeInstanceOf(InsufficientMemoryError)
    expect(error).toMatchObject({ requiredBytes: 2 * 16 * 1024 * 64, availableBytes: 1000 })
    expect(error.message).toMatch(/device memory in BatchMatMulV2, which asked for 2.00 MiB.*kvCacheMemory.*nvidia-smi/)
    const onCpu = errorOf('Invalid TF_Status: 8\nMessage: OOM when allocating tensor', false)
    expect(onCpu).toMatchObject({ requiredBytes: 0 })
    expect(onCpu.message).not.toContain('nvidia-smi')
  })

  it.each([
    'Invalid TF_Status: 13\nMessage: CUDA runtime error: an illegal memory access was encountered',
    'Invalid TF_Status: 13\nMessage: Failed to query cuDNN version',
    'Invalid TF_Status: 13\nMessage: no kernel image is available: device kernel image is invalid',
  ])('tells that the GPU failed: %s', (message) => {
    const error = errorOf(message)
    expect(error).toBeInstanceOf(BackendUnavailableError)
    expect(error.message).toMatch(/GPU failed in TensorFlow's BatchMatMulV2.*driver/)
  })

  it('names the op in any other error', () => {
    const error = errorOf(
      'Invalid TF_Status: 3\nMessage: Matrix size-incompatible: In[0]: [2,3], In[1]: [2,2]\n[Op:MatMul]',
    )
    expect(error.message).toBe(
      "TensorFlow's op BatchMatMulV2 failed: Matrix size-incompatible: In[0]: [2,3], In[1]: [2,2]",
    )
    expect(errorOf('out of order').message).toBe("TensorFlow's op BatchMatMulV2 failed: out of order")
  })
})
