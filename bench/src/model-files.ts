import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { writeBenchModel } from './gguf-file.ts'
import type { BenchModel } from './limit-share.ts'
import { writeOnnxModel } from './onnx-model.ts'

/** A model on disk, in the forms that engines read; gone when disposed of, or when the process ends. */
export class ModelFiles implements Disposable {
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'octavo-bench-'))
  readonly #model: BenchModel
  readonly #files = new Map<'gguf' | 'onnx', string>()

  constructor(model: BenchModel) {
    this.#model = model
    process.once('exit', this.#remove)
  }

  /** Where it is, written at the first call. */
  pathOf(kind: 'gguf' | 'onnx'): string {
    const known = this.#files.get(kind)
    if (known !== undefined) return known
    const file = kind === 'gguf' ? this.#writeGguf() : this.#writeOnnx()
    this.#files.set(kind, file)
    return file
  }

  get ggufBytes(): number {
    return statSync(this.pathOf('gguf')).size
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#remove)
    this.#remove()
  }

  readonly #remove = (): void => rmSync(this.#folder, { recursive: true, force: true })

  #writeGguf(): string {
    const file = path.join(this.#folder, 'model.gguf')
    writeBenchModel(file, this.#model.shape, this.#model.format)
    return file
  }

  #writeOnnx(): string {
    const { shape, format } = this.#model
    if (format !== 'q8_0' && format !== 'q4_0') throw new Error(`The ONNX model cannot have the format ${format}.`)
    const folder = path.join(this.#folder, 'onnx')
    writeOnnxModel(folder, shape, format)
    return folder
  }
}
