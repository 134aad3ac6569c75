import path from 'node:path'
import type { BenchFormat } from './bench-shape.ts'

/** An engine that a bench can start. */
export interface KnownEngine {
  readonly name: EngineName
  readonly label: string
  /** The file with its `createEngine`. */
  readonly module: string
  readonly model: 'gguf' | 'onnx'
  readonly formats: readonly BenchFormat[]
  readonly canServe: boolean
  /** The npm package that `peers/` must hold. */
  readonly peer: string | null
}

export type EngineName = 'octavo' | 'llama-cpp' | 'transformers'

const folder = path.join(import.meta.dirname, '..')

/** Ours first: ratios are ours to another. */
export const knownEngines: readonly KnownEngine[] = [
  {
    name: 'octavo',
    label: 'Octavo',
    module: path.join(folder, 'engines', 'octavo.ts'),
    model: 'gguf',
    formats: ['q8_0', 'q4_0', 'f16', 'bf16'],
    canServe: true,
    peer: null,
  },
  {
    name: 'llama-cpp',
    label: 'node-llama-cpp',
    module: path.join(folder, 'peers', 'llama-cpp.mjs'),
    model: 'gguf',
    formats: ['q8_0', 'q4_0', 'f16', 'bf16'],
    canServe: true,
    peer: 'node-llama-cpp',
  },
  {
    name: 'transformers',
    label: 'transformers.js',
    module: path.join(folder, 'peers', 'transformers.mjs'),
    model: 'onnx',
    formats: ['q8_0', 'q4_0'],
    canServe: false,
    peer: '@huggingface/transformers',
  },
]
