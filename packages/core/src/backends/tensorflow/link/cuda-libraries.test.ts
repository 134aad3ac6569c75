import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { findCudaLibraries } from './cuda-libraries.ts'
import { Planted } from './planted.case.ts'

function plant(planted: Planted, major: string): string {
  planted.file(`nvidia/cuda_runtime/lib/libcudart.so.${major}`)
  planted.file(`nvidia/cublas/lib/libcublas.so.${major}`)
  planted.file('nvidia/cublas/lib/libnvblas.so.12')
  planted.file('nvidia/cudnn/lib/libcudnn.so.9')
  planted.file('nvidia/cudnn/lib/libcudnn_ops.so.9')
  planted.file('nvidia/cudnn/include/cudnn.h')
  planted.file('nvidia/__init__.py')
  return path.join(planted.root, 'nvidia')
}

describe('findCudaLibraries', () => {
  it('lists what TensorFlow opens', () => {
    using planted = new Planted()
    const names = findCudaLibraries([plant(planted, '12')], '12.5.1').map((file) => path.basename(file))
    expect(names).toEqual(['libcublas.so.12', 'libcudart.so.12', 'libcudnn.so.9'])
  })

  it('is empty where Python brings none: the machine may', () => {
    expect(findCudaLibraries([], '12.5.1')).toEqual([])
    expect(findCudaLibraries(['/nowhere'], '12.5.1')).toEqual([])
  })

  it('refuses those of another CUDA', () => {
    using planted = new Planted()
    const folder = plant(planted, '13')
    expect(() => findCudaLibraries([folder], '12.5.1')).toThrow(
      expect.objectContaining({ step: 'cuda', message: expect.stringMatching(/built for CUDA 12.5.1, .* CUDA 13/) }),
    )
    expect(findCudaLibraries([folder], null)).toHaveLength(3)
  })
})
