// Preloaded with --import into a program and its threads: OCTAVO_TEST_FAULT happens in the engine's thread once a file of
// the name OCTAVO_TEST_WHEN is there.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

const { OCTAVO_TEST_FAULT: fault, OCTAVO_TEST_WHEN: file } = process.env

const faults = {
  throws() {
    rmSync(file)
    throw new Error('the cable was pulled; plug it in')
  },
  loops() {
    for (;;);
  },
  // A native call that never returns: no terminate() reaches it.
  blocks() {
    readFileSync(`${file}.fifo`)
  },
}

if (!isMainThread) {
  setInterval(() => {
    if (existsSync(file)) faults[fault]()
  }, 20)
}
