import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { smokeShape } from './bench-shape.ts'
import { type OnnxFormat, writeOnnxModel } from './onnx-model.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'octavo-bench-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Fields = [number: number, value: number | Buffer][]

/** A message's fields; nested ones stay bytes. */
function decode(bytes: Buffer): Fields {
  const fields: Fields = []
  let at = 0
  const varint = (): number => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = BigInt(bytes.readUInt8(at++))
      value |= (byte & 127n) << shift
      if (byte < 128n) return Number(BigInt.asIntN(64, value))
    }
  }
  while (at < bytes.length) {
    const tag = varint()
    if ((tag & 7) === 0) fields.push([tag >> 3, varint()])
    else {
      const length = (tag & 7) === 5 ? 4 : varint()
      fields.push([tag >> 3, bytes.subarray(at, at + length)])
      at += length
    }
  }
  return fields
}

const messages = (fields: Fields, number: number): Fields[] =>
  fields.flatMap(([known, value]) => (known === number && typeof value !== 'number' ? [decode(value)] : []))
const texts = (fields: Fields, number: number): string[] =>
  fields.flatMap(([known, value]) => (known === number && typeof value !== 'number' ? [value.toString()] : []))

test.each<[OnnxFormat, number]>([
  ['q8_0', 32],
  ['q4_0', 16],
])('%s: every node finds its inputs, every weight its bytes', (format, bytesPerBlock) => {
  const shape = { ...smokeShape, numLayers: 2 }
  writeOnnxModel(path.join(folder, format), shape, format)
  const file = path.join(folder, format, 'onnx', 'model.onnx')
  const [graph = []] = messages(decode(readFileSync(file)), 7)

  const tensors = messages(graph, 5)
  const known = new Set(['', ...messages(graph, 11).flatMap((input) => texts(input, 1))])
  for (const tensor of tensors) for (const name of texts(tensor, 8)) known.add(name)
  for (const node of messages(graph, 1)) {
    for (const input of texts(node, 1)) expect(known).toContain(input)
    for (const output of texts(node, 2)) {
      if (output !== '') expect(known).not.toContain(output)
      known.add(output)
    }
  }
  for (const output of messages(graph, 12)) expect(known).toContain(texts(output, 1)[0])

  let end = 0
  for (const tensor of tensors) {
    const entries = new Map(messages(tensor, 13).map((entry) => [texts(entry, 1)[0], texts(entry, 2)[0]]))
    if (entries.size === 0) continue
    expect(Number(entries.get('offset'))).toBeGreaterThanOrEqual(end)
    end = Number(entries.get('offset')) + Number(entries.get('length'))
    if (texts(tensor, 8)[0] === 'head.weight')
      expect(Number(entries.get('length'))).toBe(((shape.vocabSize * shape.hiddenSize) / 32) * bytesPerBlock)
  }
  expect(statSync(`${file}_data`).size).toBeGreaterThanOrEqual(end)
})
