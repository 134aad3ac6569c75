/**
 * What busy neighbours cost: `npm run bench -- oversubscription [threads]`. The matrix products of decoding 16 sequences (24 layers of
 * 2048 x 2048 in Q8_0) run while 0, 1, 2 and 4 other processes spin. With n threads on n CPUs and k such processes a
 * fair scheduler leaves n / (n + k) of the CPU time: throughput should fall to that share, not below.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createNativePack } from '@octavo/backend-native'
import { linearKernel, rowBytes } from '@octavo/core/backend'
import type { NamedAttrMap, Tensor2D } from '@tensorflow/tfjs-core'
import { engine, setBackend, tensor2d } from '@tensorflow/tfjs-core'

const size = 2048
const numLayers = 24
const numSequences = 16
const numRounds = 3
const roundMs = 1500
const neighbours = [0, 1, 2, 4]

async function main(threads: number): Promise<void> {
  const pack = await createNativePack({ threads })
  await setBackend(pack.name)
  const stride = rowBytes('q8_0', size)
  const layers = Array.from({ length: numLayers }, () =>
    pack.packWeight({ format: 'q8_0', rows: size, cols: size }, (bytes) => {
      // Codes do not matter, but the float16 scale at the begin of each block of 34 bytes must be an ordinary number.
      for (let at = 0; at < size * stride; at += 34) bytes[at + 1] = 0x20
    }),
  )
  const x = tensor2d(new Float32Array(numSequences * size).fill(0.5), [numSequences, size])
  const step = (): void => {
    for (const weight of layers) {
      const attrs: object = { weight }
      // tfjs types attrs as JSON-like values but only hands the object through.
      engine()
        .runKernel<Tensor2D>(linearKernel, { x }, attrs as NamedAttrMap)
        .dispose()
    }
  }
  step()
  const results = neighbours.map(() => [] as number[])
  for (let round = 0; round < numRounds; round++) {
    for (const [i, count] of neighbours.entries()) results[i]?.push(await throughputBeside(count, step))
  }
  const medians = results.map((values) => values.sort((a, b) => a - b)[numRounds >> 1] ?? 0)
  const alone = medians[0] ?? 0
  console.log(`${threads} threads, ${availableParallelism()} CPUs, median of ${numRounds} rounds`)
  console.log('busy processes | steps/s | of alone | fair share | reached of it')
  for (const [i, count] of neighbours.entries()) {
    const share = (medians[i] ?? 0) / alone
    // Threads beyond the CPUs would take more than their part from the neighbours.
    const fair = Math.min(1, availableParallelism() / (threads + count)) / Math.min(1, availableParallelism() / threads)
    const cells = [(medians[i] ?? 0).toFixed(1), share.toFixed(2), fair.toFixed(2), (share / fair).toFixed(2)]
    console.log([String(count), ...cells].join(' | '))
  }
}

/** Steps per second beside `count` processes that do nothing but spin. */
async function throughputBeside(count: number, step: () => void): Promise<number> {
  const children = Array.from({ length: count }, () => fork(fileURLToPath(import.meta.url), ['spin']))
  await sleep(count === 0 ? 0 : 400) // until they spin
  const start = performance.now()
  let numSteps = 0
  while (performance.now() - start < roundMs) {
    step()
    numSteps++
  }
  const perSecond = (1000 * numSteps) / (performance.now() - start)
  const exits = children.map((child) => once(child, 'exit'))
  for (const child of children) child.kill('SIGKILL')
  await Promise.all(exits)
  return perSecond
}

if (process.argv[2] === 'spin') {
  for (;;);
} else {
  await main(Number(process.argv[2] ?? availableParallelism()))
}
