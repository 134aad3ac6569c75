import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openSafetensors } from '@octavo/core/loading'
import { QuantizationError } from '@octavo/core/quantization'
import { describe, expect, it } from 'vitest'
import { temporaryFolder } from '../pipeline/saved-models.case.ts'
import { tensorOf, writeSafetensorsFile } from './safetensors-file.ts'

const tensors = [
  tensorOf({ name: 'b', dtype: 'int8', shape: [3], bytes: Uint8Array.of(1, 2, 3) }),
  tensorOf({ name: 'a', dtype: 'float32', shape: [1, 2], bytes: new Uint8Array(new Float32Array([1.5, -2]).buffer) }),
  tensorOf({ name: 'c', dtype: 'bfloat16', shape: [0], bytes: new Uint8Array(0) }),
]

describe('writeSafetensorsFile', () => {
  it('writes what is read back, larger elements first, the data at a multiple of eight bytes', () => {
    const file = join(temporaryFolder(), 'model.safetensors')
    writeSafetensorsFile(file, tensors, { format: 'pt' })
    const bytes = readFileSync(file)
    const length = Number(bytes.readBigUInt64LE(0))
    expect(length % 8).toBe(0)
    expect(JSON.parse(bytes.subarray(8, 8 + length).toString('utf8'))).toEqual({
      __metadata__: { format: 'pt' },
      a: { dtype: 'F32', shape: [1, 2], data_offsets: [0, 8] },
      b: { dtype: 'I8', shape: [3], data_offsets: [8, 11] },
      c: { dtype: 'BF16', shape: [0], data_offsets: [11, 11] },
    })
    const source = openSafetensors(file)
    expect([...source.readFloat32('a')]).toEqual([1.5, -2])
    source.close()
  })

  it.skipIf(!existsSync('/dev/full'))('says that the disk is full, and where', () => {
    const write = (): void => writeSafetensorsFile('/dev/full', tensors)
    expect(write).toThrow(/\/dev\/full: the disk is full \(ENOSPC\).*run the same again/)
    expect(write).toThrow(QuantizationError)
  })

  it('says that a folder can’t be written', () => {
    // As root everything can; a folder in place of the file never.
    expect(() => writeSafetensorsFile(temporaryFolder(), tensors)).toThrow(/EISDIR|can't be written/)
  })
})
