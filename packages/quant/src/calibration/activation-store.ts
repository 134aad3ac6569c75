import { closeSync, ftruncateSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { onDisk } from '../checkpoint/disk-errors.ts'
import type { CalibrationBatch } from './calibration-batch.ts'

/** The residual stream of all calibration tokens between two layers; a batch is written over when the next layer has run it. */
export interface ActivationStore {
  /** `[numTokens, hiddenSize]`; the store's own where that is in memory: not to be changed. */
  read(batch: number): Float32Array
  write(batch: number, values: Float32Array): void
  dispose(): void
}

export interface ActivationStoreOptions {
  readonly batches: readonly CalibrationBatch[]
  readonly hiddenSize: number
  /** More than this goes to a file. */
  readonly maxMemoryBytes: number
  readonly file: string
}

export function createActivationStore(options: ActivationStoreOptions): ActivationStore {
  const { batches, hiddenSize, maxMemoryBytes, file } = options
  const sizes = batches.map(({ ids }) => ids.length * hiddenSize * 4)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  return total <= maxMemoryBytes ? memoryStore() : fileStore(file, sizes)
}

function memoryStore(): ActivationStore {
  const values = new Map<number, Float32Array>()
  return {
    read: (batch) => values.get(batch)!,
    write: (batch, written) => void values.set(batch, written),
    dispose: () => values.clear(),
  }
}

function fileStore(file: string, sizes: readonly number[]): ActivationStore {
  const fd = onDisk(file, () => openSync(file, 'w+'))
  const starts = [0]
  for (const size of sizes) starts.push(starts.at(-1)! + size)
  try {
    // A full disk says so now, or where files may have holes, at the write.
    onDisk(file, () => ftruncateSync(fd, starts.at(-1)))
  } catch (error) {
    closeSync(fd)
    throw error
  }
  return {
    read(batch) {
      const values = new Float32Array(sizes[batch]! / 4)
      transfer(new Uint8Array(values.buffer), starts[batch]!, (bytes, position) =>
        readSync(fd, bytes, 0, bytes.length, position),
      )
      return values
    },
    write(batch, values) {
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
      onDisk(file, () =>
        transfer(bytes, starts[batch]!, (rest, position) => writeSync(fd, rest, 0, rest.length, position)),
      )
    },
    dispose() {
      closeSync(fd)
      rmSync(file, { force: true })
    },
  }
}

/** One call may move less than it was asked for. */
function transfer(bytes: Uint8Array, position: number, move: (rest: Uint8Array, position: number) => number): void {
  let done = 0
  while (done < bytes.length) {
    const moved = move(bytes.subarray(done), position + done)
    if (moved === 0) throw new Error(`the file of activations ends at byte ${position + done}`)
    done += moved
  }
}
