/** ONNX's messages (onnx.proto of https://github.com/onnx/onnx), as much of them as a decoder needs. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { Float, message, type Field } from './protobuf.ts'

export const elementTypes = { float: 1, uint8: 2, int32: 6, int64: 7, float16: 10 } as const
export type ElementType = keyof typeof elementTypes

export interface OnnxNode {
  readonly op: string
  /** Where the operator is from; default ONNX's own. */
  readonly domain?: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly integers?: Readonly<Record<string, number>>
  readonly floats?: Readonly<Record<string, number>>
}

export interface OnnxTensor {
  readonly name: string
  readonly type: ElementType
  /** A text is a size that the caller decides. */
  readonly dims: readonly (number | string)[]
}

/** A graph while it is built; weights go to the data file at once. */
export class OnnxGraph {
  readonly #nodes: Buffer[] = []
  readonly #initializers: Buffer[] = []
  readonly #inputs: Buffer[] = []
  readonly #outputs: Buffer[] = []
  readonly #dataName: string
  readonly #data: number
  #offset = 0

  /** @param dataFile where weights go; `dataName` is how the model names it, relative to itself */
  constructor(dataFile: string, dataName: string) {
    this.#data = openSync(dataFile, 'w')
    this.#dataName = dataName
  }

  input(tensor: OnnxTensor): void {
    this.#inputs.push(valueInfo(tensor))
  }

  output(tensor: OnnxTensor): void {
    this.#outputs.push(valueInfo(tensor))
  }

  /** Returns the node's first output. */
  node({ op, domain, inputs, outputs, integers = {}, floats = {} }: OnnxNode): string {
    const attributes: Field[] = [
      ...Object.entries(integers).map(([name, value]): Field => [
        5,
        message([
          [1, name],
          [3, value],
          [20, 2],
        ]),
      ]),
      ...Object.entries(floats).map(([name, value]): Field => [
        5,
        message([
          [1, name],
          [2, new Float(value)],
          [20, 1],
        ]),
      ]),
    ]
    const node = message([
      ...inputs.map((name): Field => [1, name]),
      ...outputs.map((name): Field => [2, name]),
      [3, `${op}/${this.#nodes.length}`],
      [4, op],
      ...attributes,
      ...(domain === undefined ? [] : [[7, domain] as const]),
    ])
    this.#nodes.push(node)
    return outputs[0] ?? ''
  }

  /** A small constant, in the model file itself. Returns its name. */
  constant(tensor: OnnxTensor, bytes: Buffer): string {
    this.#initializers.push(message([...tensorFields(tensor), [9, bytes]]))
    return tensor.name
  }

  /** `size` bytes of the chunk, again and again, in the data file. Returns the tensor's name. */
  weight(tensor: OnnxTensor, size: number, chunk: Buffer): string {
    const entry = (key: string, value: string): Field => [
      13,
      message([
        [1, key],
        [2, value],
      ]),
    ]
    this.#initializers.push(
      message([
        ...tensorFields(tensor),
        entry('location', this.#dataName),
        entry('offset', String(this.#offset)),
        entry('length', String(size)),
        [14, 1],
      ]),
    )
    for (let left = size; left > 0; left -= chunk.length) writeSync(this.#data, chunk, 0, Math.min(left, chunk.length))
    const padded = Math.ceil(size / pageSize) * pageSize
    writeSync(this.#data, Buffer.alloc(padded - size))
    this.#offset += padded
    return tensor.name
  }

  /** The model file's bytes; no more weights after it. */
  finish(): Buffer {
    closeSync(this.#data)
    const graph = message([
      ...this.#nodes.map((node): Field => [1, node]),
      [2, 'decoder'],
      ...this.#initializers.map((tensor): Field => [5, tensor]),
      ...this.#inputs.map((input): Field => [11, input]),
      ...this.#outputs.map((output): Field => [12, output]),
    ])
    const opset = (domain: string, version: number): Field => [
      8,
      message([
        [1, domain],
        [2, version],
      ]),
    ]
    return message([[1, 10], [7, graph], opset('', 21), opset('com.microsoft', 1)])
  }
}

/** Weights begin at pages, so that they can be mapped. */
const pageSize = 4096

function tensorFields({ name, type, dims }: OnnxTensor): Field[] {
  return [...dims.map((dim): Field => [1, Number(dim)]), [2, elementTypes[type]], [8, name]]
}

function valueInfo({ name, type, dims }: OnnxTensor): Buffer {
  const shape = message(dims.map((dim): Field => [1, message([typeof dim === 'number' ? [1, dim] : [2, dim]])]))
  const tensorType = message([
    [1, elementTypes[type]],
    [2, shape],
  ])
  return message([
    [1, name],
    [2, message([[1, tensorType]])],
  ])
}
