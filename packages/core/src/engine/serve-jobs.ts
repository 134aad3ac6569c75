import { parentPort, type Transferable } from 'node:worker_threads'
import { toTransferredError } from '../error-transfer.ts'
import { assert } from '../util/assert.ts'
import type { FromJobThread } from './job-thread.ts'

/** The other side of a `JobThread`: does what comes, once `run` is ready. */
export function serveJobs<Input, Output>(
  run: (input: Input) => Output,
  transferOf: (output: Output) => Transferable[] = () => [],
): void {
  const port = parentPort
  assert(port !== null, 'must run as a worker')
  port.on('message', (input: Input) => {
    try {
      const output = run(input)
      port.postMessage({ type: 'done', output } satisfies FromJobThread<Output>, transferOf(output))
    } catch (error) {
      port.postMessage({ type: 'failed', error: toTransferredError(error) } satisfies FromJobThread<Output>)
    }
  })
  port.postMessage({ type: 'ready' } satisfies FromJobThread<Output>)
}
