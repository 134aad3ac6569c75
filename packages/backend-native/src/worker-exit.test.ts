import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readNativeEnv } from './native-env.ts'
import { testedAddon } from './tested-isas.case.ts'

const addonFile = readNativeEnv().addonFile ?? fileURLToPath(new URL('../build/octavo_native.node', import.meta.url))

/** Calls kernels, and makes them throw, without end. */
const workerProgram = `
const { parentPort, workerData } = require('node:worker_threads')
const addon = require(workerData)
const pool = new addon.Pool(2)
const bytes = new Uint8Array(4 * 256 * 256)
const [x, y] = [new Float32Array(64 * 256), new Float32Array(64 * 256)]
parentPort.postMessage('ready')
for (;;) {
  const matrix = pool.createMatrix('float32', 256, 256, bytes, 'float32')
  for (let i = 0; i < 5; i++) pool.linear(matrix, y, x, 64, null)
  for (let i = 0; i < 50; i++) matrix.readRow(1, new Float32Array(256))
  try {
    pool.linear(matrix, y, x, 63, null)
  } catch {}
  matrix.dispose()
}
`

/** Ends its worker, or itself with the worker in it, some milliseconds after that has begun. */
const program = `
const { Worker } = require('node:worker_threads')
const [, addon, workerProgram, how, milliseconds] = process.argv
const worker = new Worker(workerProgram, { eval: true, workerData: addon })
const end = async () => {
  if (how === 'terminate') await worker.terminate()
  process.exit(0)
}
worker.once('message', () => setTimeout(end, Number(milliseconds)))
`

describe.skipIf(testedAddon === null)('a worker that ends in the middle of a kernel', () => {
  it.each(['exit', 'terminate'])('leaves the process alive: %s', (how) => {
    for (let i = 0; i < 8; i++) {
      const args = ['-e', program, addonFile, workerProgram, how, String(3 * i)]
      const { status, signal, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 })
      expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' })
    }
  })
})
