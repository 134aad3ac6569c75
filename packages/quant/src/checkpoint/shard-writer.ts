import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { safetensorsIndexName } from '@octavo/core/loading'
import { onDisk } from './disk-errors.ts'
import { writeSafetensorsFile } from './safetensors-file.ts'
import type { OutputTensor } from './safetensors-file.ts'

export interface ShardWriterOptions {
  readonly folder: string
  /** A shard is closed before it grows beyond this; one tensor may. */
  readonly maxShardBytes: number
}

/** Tensors in the order they come, into `model.safetensors` or, where they are more than a shard, into several and an index. */
export class ShardWriter {
  readonly #options: ShardWriterOptions
  readonly #shards: (readonly string[])[] = []
  #pending: OutputTensor[] = []
  #pendingBytes = 0
  #totalBytes = 0

  constructor(options: ShardWriterOptions) {
    this.#options = options
  }

  get totalBytes(): number {
    return this.#totalBytes
  }

  add(tensor: OutputTensor): void {
    if (this.#pendingBytes + tensor.sizeInBytes > this.#options.maxShardBytes) this.#flush()
    this.#pending.push(tensor)
    this.#pendingBytes += tensor.sizeInBytes
    this.#totalBytes += tensor.sizeInBytes
  }

  /** Gives the files their names, now that it is known how many there are. */
  finish(): void {
    this.#flush()
    const { folder } = this.#options
    const count = this.#shards.length
    if (count === 1) return renameSync(this.#temporary(0), join(folder, 'model.safetensors'))
    const weightMap: Record<string, string> = {}
    this.#shards.forEach((names, i) => {
      const five = (number: number): string => String(number).padStart(5, '0')
      const file = `model-${five(i + 1)}-of-${five(count)}.safetensors`
      renameSync(this.#temporary(i), join(folder, file))
      for (const name of names) weightMap[name] = file
    })
    const sorted = Object.fromEntries(Object.entries(weightMap).sort(([a], [b]) => (a < b ? -1 : 1)))
    const index = { metadata: { total_size: this.#totalBytes }, weight_map: sorted }
    onDisk(folder, () => writeFileSync(join(folder, safetensorsIndexName), `${JSON.stringify(index, null, 2)}\n`))
  }

  #flush(): void {
    if (this.#pending.length === 0) return
    writeSafetensorsFile(this.#temporary(this.#shards.length), this.#pending, { format: 'pt' })
    this.#shards.push(this.#pending.map(({ name }) => name))
    this.#pending = []
    this.#pendingBytes = 0
  }

  #temporary(shard: number): string {
    return join(this.#options.folder, `shard-${shard}.safetensors`)
  }
}
