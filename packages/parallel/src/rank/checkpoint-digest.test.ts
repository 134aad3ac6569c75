import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkpointDigest } from './checkpoint-digest.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'octavo-digest-'))
  write('config.json', '{"vocab_size": 8}')
  write('model.safetensors', '12345678')
})
afterEach(() => rmSync(folder, { recursive: true }))

function write(name: string, text: string): void {
  writeFileSync(path.join(folder, name), text)
}

describe("a checkpoint's digest", () => {
  it('tells configurations, and names and sizes of weight files', () => {
    const digests = new Set([checkpointDigest(folder)])
    write('config.json', '{"vocab_size": 9}')
    digests.add(checkpointDigest(folder))
    write('model.safetensors', '123456789')
    digests.add(checkpointDigest(folder))
    write('model-2.safetensors', '')
    digests.add(checkpointDigest(folder))
    expect(digests.size).toBe(4)
  })

  it('names the machine that has none', () => {
    expect(() => checkpointDigest(path.join(folder, 'none'))).toThrow(/none: does not exist on \S+; each rank reads/)
  })

  it('is that of what is loaded, wherever it lies', () => {
    const digest = checkpointDigest(folder)
    write('notes.txt', 'mine')
    expect(checkpointDigest(folder)).toBe(digest)
    write('a.gguf', 'GGUF')
    expect(checkpointDigest(path.join(folder, 'a.gguf'))).not.toBe(checkpointDigest(folder))
  })
})
