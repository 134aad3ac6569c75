import { describe, expect, it } from 'vitest'
import { explainMissingGpu } from './missing-gpu.ts'

describe('explainMissingGpu', () => {
  it.each([
    ['12.5.1', null, 'no NVIDIA driver'],
    ['12.5.1', '470.82.01', '470.82.01 is too old for CUDA 12.5.1, which needs 525'],
    ['12.5.1', '550.54.15', 'libraries are missing'],
    [null, '550.54.15', 'libraries are missing'],
  ])('CUDA %s, driver %s: %s', (cuda, driver, said) => {
    expect(explainMissingGpu(cuda, driver)).toContain(said)
  })
})
