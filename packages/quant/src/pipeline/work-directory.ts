import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { QuantizationError } from '@octavo/core/quantization'
import { onDisk } from '../checkpoint/disk-errors.ts'
import { readLayerRecord, writeLayerRecord } from './layer-record.ts'
import type { LayerRecord, ModuleShapes } from './layer-record.ts'

/** Of a run, what makes it what it is: a later one goes on with it only where all of it is the same. */
export type RunIdentity = Readonly<Record<string, unknown>>

export interface OpenWorkOptions {
  /** The folder that is to be made. */
  readonly target: string
  readonly identity: RunIdentity
  /** Whether a folder that is there may be replaced. */
  readonly overwrite: boolean
  /** Whether to begin anew where a run was interrupted. */
  readonly restart: boolean
}

/**
 * Where a run keeps what it has finished, beside its target: a file for each layer, written whole or not at all, and the
 * checkpoint while it is written. A run that was ended at any moment goes on from there.
 */
export class WorkDirectory {
  readonly target: string
  readonly #path: string

  private constructor(target: string) {
    this.target = target
    this.#path = join(dirname(target), `.${basename(target)}.octavo`)
  }

  /** `null`: an earlier run with the same identity had made the target, and was ended before it could tidy up. */
  static open({ target, identity, overwrite, restart }: OpenWorkOptions): WorkDirectory | null {
    const work = new WorkDirectory(resolve(target))
    // Of a checkpoint that is whole the folder before it may be gone already: it becomes the target first.
    if (restart && !work.#finishRename()) work.remove()
    const earlier = work.#readIdentity()
    if (earlier !== null) work.#checkSame(earlier, identity)
    if (earlier !== null && work.#finishRename()) return null
    // A link to nothing is there too.
    if (lstatSync(work.target, { throwIfNoEntry: false }) !== undefined && !overwrite)
      throw new QuantizationError(
        `${work.target} is there already; choose another folder, or pass \`overwrite\` (--overwrite) to replace it`,
      )
    if (earlier === null) work.#create(identity)
    return work
  }

  /** The file for activations that do not fit into memory. */
  get activationFile(): string {
    return join(this.#path, 'activations.bin')
  }

  read(layer: string): LayerRecord | null {
    return readLayerRecord(this.#layerFile(layer))
  }

  has(layer: string): boolean {
    return existsSync(this.#layerFile(layer))
  }

  write(layer: string, record: LayerRecord, shapes: ModuleShapes): void {
    const file = this.#layerFile(layer)
    writeLayerRecord(`${file}.part`, record, shapes)
    renameDurably(`${file}.part`, file)
  }

  /** An empty folder for the checkpoint. */
  createCheckpointFolder(): string {
    const folder = this.#checkpoint
    rmSync(folder, { recursive: true, force: true })
    onDisk(folder, () => mkdirSync(folder))
    return folder
  }

  /** The checkpoint is whole: makes it the target. */
  publish(): void {
    onDisk(this.#path, () => writeDurably(this.#complete, '{}'))
    this.#finishRename()
  }

  remove(): void {
    rmSync(this.#path, { recursive: true, force: true })
  }

  get #checkpoint(): string {
    return join(this.#path, 'checkpoint')
  }

  get #complete(): string {
    return join(this.#path, 'complete.json')
  }

  get #identityFile(): string {
    return join(this.#path, 'run.json')
  }

  #layerFile(layer: string): string {
    return join(this.#path, `${layer}.safetensors`)
  }

  #create(identity: RunIdentity): void {
    // What is there without an identity is nobody's.
    this.remove()
    onDisk(this.#path, () => {
      mkdirSync(this.#path, { recursive: true })
      writeDurably(this.#identityFile, JSON.stringify(identity, null, 2))
    })
  }

  #readIdentity(): RunIdentity | null {
    // A run that finished nothing has left nothing to go on with.
    const isBegun = existsSync(this.#complete) || this.#hasLayers()
    if (!isBegun || !existsSync(this.#identityFile)) return null
    return JSON.parse(readFileSync(this.#identityFile, 'utf8')) as RunIdentity // our own file
  }

  #hasLayers(): boolean {
    return existsSync(this.#path) && readdirSync(this.#path).some((file) => file.endsWith('.safetensors'))
  }

  #checkSame(earlier: RunIdentity, identity: RunIdentity): void {
    const plain = JSON.parse(JSON.stringify(identity)) as RunIdentity
    const names = [...new Set([...Object.keys(earlier), ...Object.keys(plain)])]
    const changed = names.filter((name) => JSON.stringify(earlier[name]) !== JSON.stringify(plain[name]))
    if (changed.length > 0)
      throw new QuantizationError(
        `a run that was interrupted has left its layers in ${this.#path}, and it had other ${changed.join(', ')}. Repeat it as it was to go on with it, or pass \`restart\` (--restart) to begin anew`,
      )
  }

  /** Whether the checkpoint was whole; then the target is it. */
  #finishRename(): boolean {
    if (!existsSync(this.#complete)) return false
    if (existsSync(this.#checkpoint)) {
      const replaced = join(this.#path, 'replaced')
      rmSync(replaced, { recursive: true, force: true })
      if (existsSync(this.target)) renameSync(this.target, replaced)
      renameDurably(this.#checkpoint, this.target)
    }
    this.remove()
    return true
  }
}

function writeDurably(file: string, text: string): void {
  const fd = openSync(`${file}.part`, 'w')
  try {
    writeFileSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameDurably(`${file}.part`, file)
}

/** The rename itself is on the disk afterwards. */
function renameDurably(from: string, to: string): void {
  renameSync(from, to)
  if (process.platform === 'win32') return
  const folder = openSync(dirname(to), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
