import type { ActivationKind } from '../../ops/activation.ts'
import type { GatedActivationKind } from '../../ops/gated-activation.ts'
import { assert } from '../../util/assert.ts'
import { moduleBase64 } from './module.generated.ts'

/** What Node offers of the WebAssembly interface and its type package leaves out. */
declare const WebAssembly: {
  readonly Memory: new (...args: never[]) => object
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: object }
  validate(bytes: Uint8Array): boolean
}

/** A byte offset into the heap; 0 where an optional array is absent. */
export type Pointer = number

/** The functions of `kernels/*.ts`; shapes, orders of reduction and formats are documented there. `weight`: its description. */
export interface WasmKernels {
  activation(out: Pointer, x: Pointer, size: number, kind: number): void
  gatedActivation(out: Pointer, gateUp: Pointer, n: number, features: number, kind: number): void
  dequantizeRow(out: Pointer, weight: Pointer, row: number): void
  embedding(out: Pointer, ids: Pointer, n: number, weight: Pointer): void
  kvWrite(
    keyCache: Pointer,
    valueCache: Pointer,
    keys: Pointer,
    values: Pointer,
    slots: Pointer,
    n: number,
    rowBytes: number,
  ): void
  layerNorm(
    out: Pointer,
    x: Pointer,
    weight: Pointer,
    bias: Pointer,
    n: number,
    features: number,
    epsilon: number,
  ): void
  linear(
    out: Pointer,
    x: Pointer,
    n: number,
    weight: Pointer,
    rows: number,
    bias: Pointer,
    scratch: Pointer,
    panelRows: number,
  ): void
  gatherRows(out: Pointer, x: Pointer, tokens: Pointer, count: number, rowBytes: number): void
  scatterAddRows(out: Pointer, x: Pointer, tokens: Pointer, weights: Pointer, count: number, features: number): void
  attendSequence(
    out: Pointer,
    query: Pointer,
    queryLen: number,
    numKeys: number,
    blockTable: Pointer,
    keyCache: Pointer,
    valueCache: Pointer,
    blockSize: number,
    numHeads: number,
    numKvHeads: number,
    headDim: number,
    scale: number,
    isCausal: boolean,
    window: number,
    softcap: number,
    sinks: Pointer,
    scores: Pointer,
    scoreStride: number,
  ): void
  addRows(out: Pointer, a: Pointer, b: Pointer, size: number): void
  rmsNorm(out: Pointer, x: Pointer, weight: Pointer, n: number, features: number, epsilon: number): void
  rotaryEmbedding(
    out: Pointer,
    x: Pointer,
    table: Pointer,
    positions: Pointer,
    n: number,
    numHeads: number,
    headDim: number,
    rotaryDim: number,
  ): void
}

const kernelNames: readonly (keyof WasmKernels)[] = [
  'activation',
  'gatedActivation',
  'dequantizeRow',
  'embedding',
  'kvWrite',
  'layerNorm',
  'linear',
  'gatherRows',
  'scatterAddRows',
  'attendSequence',
  'addRows',
  'rmsNorm',
  'rotaryEmbedding',
]

/** As in `kernels/activation.ts`. */
export const activationCodes: Readonly<Record<ActivationKind | GatedActivationKind, number>> = {
  silu: 0,
  gelu: 1,
  gelu_tanh: 2,
  relu: 3,
  swiglu_oss: 4,
}

/** Whether this JavaScript engine can run the kernels: 128-bit SIMD is the only thing they ask for. */
export function canRunKernels(): boolean {
  return typeof WebAssembly === 'object' && WebAssembly.validate(moduleBytes())
}

/** The kernels on the given `WebAssembly.Memory`, which they import instead of having one. */
export function instantiateKernels(memory: object): WasmKernels {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes()), { env: { memory } })
  assertKernels(exports)
  return exports
}

export function isMemory(candidate: unknown): candidate is object {
  return candidate instanceof WebAssembly.Memory
}

function moduleBytes(): Uint8Array {
  return Buffer.from(moduleBase64, 'base64')
}

function assertKernels(exports: object): asserts exports is WasmKernels {
  for (const name of kernelNames)
    assert(typeof Reflect.get(exports, name) === 'function', `the wasm module lacks ${name}`)
}
