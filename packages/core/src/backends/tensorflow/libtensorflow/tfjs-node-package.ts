import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { isJsonObject } from '../../../util/json-object.ts'

/** The two have the same JavaScript and C++ sources; they differ in the TensorFlow that they would download. */
export type TfjsNodeName = '@tensorflow/tfjs-node-gpu' | '@tensorflow/tfjs-node'

const names: readonly TfjsNodeName[] = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']

/** An installed tfjs-node. */
export interface TfjsNodePackage {
  readonly name: TfjsNodeName
  readonly folder: string
  readonly version: string
}

const require = createRequire(import.meta.url)

/** The one beside this package, with or without its addon; the GPU package first. Null where neither is installed. */
export function findTfjsNode(): TfjsNodePackage | null {
  for (const name of names) {
    try {
      const file = require.resolve(`${name}/package.json`)
      const content: unknown = JSON.parse(readFileSync(file, 'utf8'))
      const version = isJsonObject(content) && typeof content['version'] === 'string' ? content['version'] : 'unknown'
      return { name, folder: path.dirname(file), version }
    } catch {
      // not installed: the next one
    }
  }
  return null
}

/** `dist/nodejs_kernel_backend` with all kernels registered: what tfjs-node is without its addon. */
export function requireTfjsNode(tfjsNode: TfjsNodePackage, file: string): unknown {
  return require(path.join(tfjsNode.folder, file))
}
