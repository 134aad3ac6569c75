// A thread that quantizes rows: quantize-pool.ts posts jobs, this answers each with its bytes.
import { parentPort } from 'node:worker_threads'
import { quantizeRows, type QuantizeRowsOptions } from './quantize-rows.ts'

export interface QuantizeJob extends QuantizeRowsOptions {
  readonly values: Float32Array<ArrayBuffer>
}

parentPort?.on('message', ({ values, ...options }: QuantizeJob) => {
  const bytes = quantizeRows(values, options)
  parentPort?.postMessage(bytes, [bytes.buffer])
})
