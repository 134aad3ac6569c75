import { writeFileSync } from 'node:fs'

export interface WrittenTensor {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}

/** A well-formed safetensors file, as tests need it. */
export function safetensorsBytes(tensors: Readonly<Record<string, WrittenTensor>>): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  let end = 0
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.length] }
    end += bytes.length
  }
  return withHeader(JSON.stringify(header), Buffer.concat(Object.values(tensors).map(({ bytes }) => bytes)))
}

/** Any header text before any data: for malformed files. */
export function withHeader(header: string, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const text = Buffer.from(header)
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true)
  return Buffer.concat([length, text, data])
}

export function writeSafetensors(path: string, tensors: Readonly<Record<string, WrittenTensor>>): void {
  writeFileSync(path, safetensorsBytes(tensors))
}

export function float32Tensor(shape: readonly number[], values: readonly number[] | Float32Array): WrittenTensor {
  return { dtype: 'F32', shape, bytes: new Uint8Array(Float32Array.from(values).buffer) }
}
