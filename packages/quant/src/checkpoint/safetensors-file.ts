import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { safetensorsDtypes } from '@octavo/core/loading'
import type { RawDType } from '@octavo/core/loading'
import { assert } from '@octavo/core/backend'
import { onDisk } from './disk-errors.ts'

/** A tensor to be written. */
export interface OutputTensor {
  readonly name: string
  readonly dtype: RawDType
  readonly shape: readonly number[]
  readonly sizeInBytes: number
  /** Hands over its bytes in order, in as many pieces as it likes. */
  write(take: (bytes: Uint8Array) => void): void
}

const dtypeNames = new Map<RawDType, string>([...safetensorsDtypes].map(([stored, dtype]) => [dtype, stored]))

/** A tensor of bytes that are in memory. */
export function tensorOf(
  tensor: Omit<OutputTensor, 'sizeInBytes' | 'write'> & { readonly bytes: Uint8Array },
): OutputTensor {
  const { name, dtype, shape, bytes } = tensor
  return { name, dtype, shape, sizeInBytes: bytes.length, write: (take) => take(bytes) }
}

/**
 * Writes a `.safetensors` file, down to the disk. Tensors are put in the order of safetensors' own writer, larger elements
 * first, so that each begins at a multiple of its element's size.
 *
 * @throws QuantizationError where the disk is full
 */
export function writeSafetensorsFile(
  path: string,
  tensors: readonly OutputTensor[],
  metadata: Readonly<Record<string, string>> = {},
): void {
  const sorted = [...tensors].sort((a, b) => elementBytes(b) - elementBytes(a) || (a.name < b.name ? -1 : 1))
  const header: Record<string, unknown> = Object.keys(metadata).length === 0 ? {} : { __metadata__: metadata }
  let end = 0
  for (const { name, dtype, shape, sizeInBytes } of sorted) {
    const stored = dtypeNames.get(dtype)
    assert(stored !== undefined && !(name in header), `${name} in ${dtype}`)
    header[name] = { dtype: stored, shape, data_offsets: [end, end + sizeInBytes] }
    end += sizeInBytes
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  const padded = new Uint8Array(Math.ceil(json.length / 8) * 8).fill(0x20)
  padded.set(json)
  onDisk(path, () => {
    const fd = openSync(path, 'w')
    try {
      writeAll(fd, new Uint8Array(new BigUint64Array([BigInt(padded.length)]).buffer))
      writeAll(fd, padded)
      for (const tensor of sorted) writeTensor(fd, tensor)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  })
}

function writeTensor(fd: number, { name, sizeInBytes, write }: OutputTensor): void {
  let written = 0
  write((bytes) => {
    written += bytes.length
    assert(written <= sizeInBytes, `${name} has ${sizeInBytes} bytes`)
    writeAll(fd, bytes)
  })
  assert(written === sizeInBytes, `${name} has ${sizeInBytes} bytes, not ${written}`)
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done)
}

function elementBytes({ shape, sizeInBytes }: OutputTensor): number {
  const count = shape.reduce((product, size) => product * size, 1)
  return count === 0 ? 0 : sizeInBytes / count
}
