import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { setEnvDefault } from '../../../config/env.ts'
import { messageOf } from '../../../util/message-of.ts'
import { loadFusedOps, type FusedOps } from './fused-ops.ts'
import { bindingFileName, findLinkedBinding, type LinkedBinding, type LinkManifest } from './linked-folder.ts'
import type { NodeKernelBackendClass } from './node-kernel-backend.ts'
import { shimNodeUtil } from './node-util-shim.ts'
import { isTfjsBinding, type TfjsBinding } from './tfjs-binding.ts'
import { findTfjsNode, requireTfjsNode, type TfjsNodeName, type TfjsNodePackage } from './tfjs-node-package.ts'

/** libtensorflow in this thread, and tfjs-node's backend over it. */
export interface LoadedTensorflow {
  readonly binding: TfjsBinding
  /** All kernels of tfjs-node are registered for the backend name `tensorflow`. */
  readonly NodeJSKernelBackend: NodeKernelBackendClass
  readonly packageName: TfjsNodeName
  /** libtensorflow's version. */
  readonly version: string
  /** The binding's file. */
  readonly source: string
  /** What runs as one op of ours in place of several of TensorFlow's. */
  readonly fusedOps: FusedOps
  /** What `octavo tensorflow link` wrote beside the binding; null for any other binding. */
  readonly manifest: LinkManifest | null
}

/** Why there is none, with the remedy. */
export interface TensorflowUnavailable {
  readonly reason: string
}

const linkRemedy = '`octavo tensorflow link` builds one against a TensorFlow that is installed (docs/tensorflow.md)'

let loaded: LoadedTensorflow | TensorflowUnavailable | null = null

/**
 * Loads libtensorflow once per thread: the binding that `OCTAVO_TENSORFLOW` names, else the linked one of this user, else
 * tfjs-node's own addon. Never throws for what the machine lacks; without tfjs-node it costs a few file lookups.
 */
export function loadTensorflow(): LoadedTensorflow | TensorflowUnavailable {
  loaded ??= load()
  return loaded
}

function load(): LoadedTensorflow | TensorflowUnavailable {
  const found = findTensorflow()
  if ('reason' in found) return found
  const { file, manifest, tfjsNode } = found
  // Without its lines about how it was compiled; the level is read once, when the library is loaded.
  setEnvDefault('TF_CPP_MIN_LOG_LEVEL', '1')
  try {
    const found = loadFrom(file, tfjsNode)
    return { ...found, fusedOps: loadFusedOps(found.binding, { file, manifest }), manifest }
  } catch (error) {
    // The linker's message names the library that is missing, on the first line.
    const [message] = messageOf(error).split('\n')
    return { reason: `${file} could not be loaded: ${message}. ${linkRemedy}` }
  }
}

/** A binding that could be loaded, and the tfjs-node that goes with it. */
export interface FoundTensorflow extends LinkedBinding {
  readonly tfjsNode: TfjsNodePackage
}

/** What `loadTensorflow` would load, by a few file lookups: loading takes seconds. */
export function findTensorflow(): FoundTensorflow | TensorflowUnavailable {
  const tfjsNode = findTfjsNode()
  if (tfjsNode === null) {
    return {
      reason:
        'it needs tfjs-node: `npm install --ignore-scripts @tensorflow/tfjs-node@4.22.0`, then `octavo tensorflow link`',
    }
  }
  const linked = findLinkedBinding() ?? ownAddon(tfjsNode)
  if (linked === null) return { reason: `${tfjsNode.name} is installed without its addon: ${linkRemedy}` }
  if (!existsSync(linked.file))
    return { reason: `OCTAVO_TENSORFLOW names ${linked.file}, which does not exist: ${linkRemedy}` }
  return { ...linked, tfjsNode }
}

/** Where tfjs-node's install script puts the addon that it downloads or builds. */
function ownAddon({ folder }: TfjsNodePackage): { file: string; manifest: null } | null {
  const file = path.join(folder, 'lib', 'napi-v8', bindingFileName)
  return existsSync(file) ? { file, manifest: null } : null
}

function loadFrom(file: string, tfjsNode: TfjsNodePackage): Omit<LoadedTensorflow, 'manifest' | 'fusedOps'> {
  const binding: unknown = createRequire(import.meta.url)(file)
  if (!isTfjsBinding(binding)) throw new Error("it is not tfjs-node's binding")
  shimNodeUtil()
  const exports = requireTfjsNode(tfjsNode, 'dist/nodejs_kernel_backend.js')
  requireTfjsNode(tfjsNode, 'dist/register_all_kernels.js')
  const { name: packageName } = tfjsNode
  return {
    binding,
    NodeJSKernelBackend: backendClassOf(exports),
    packageName,
    version: binding.TF_Version,
    source: file,
  }
}

function backendClassOf(exports: unknown): NodeKernelBackendClass {
  const found: unknown = typeof exports === 'object' && exports && Reflect.get(exports, 'NodeJSKernelBackend')
  if (!isBackendClass(found)) throw new Error('this tfjs-node has no NodeJSKernelBackend; 4.22.0 has')
  return found
}

function isBackendClass(value: unknown): value is NodeKernelBackendClass {
  return typeof value === 'function' && 'prototype' in value
}
