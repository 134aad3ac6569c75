/**
 * A server under siege: `npm run bench -- siege [clients] [minutes]`. Clients ask octavo-tiny over and over and stream the answers;
 * some go away in the middle, some read slowly. Every whole answer must be the one that its question had when the server was idle.
 * Prints answers, those that were lost or mixed up, /health in ms, and the server's memory once a minute.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { get } from 'node:http'
import { availableParallelism, cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { nativeBackend } from '@octavo/backend-native'
import { AsyncEngine } from '@octavo/core'
import { createApp, listen } from '@octavo/server'
import { parseStream, readAnswer } from './src/http-stream.ts'
import { percentile } from './src/percentile.ts'

const numQuestions = 64
const shareOfVanishing = 0.1
const shareOfSlow = 0.05
const mib = 1024 ** 2

interface Memory {
  readonly rss: number
  readonly heapUsed: number
  readonly numRunning: number
}

function question(i: number): object {
  const text = `Question ${i}: what is ${i} + ${i * 3}? ${'Please say why. '.repeat(i % 9)}`
  return {
    messages: [{ role: 'user', content: text }],
    max_tokens: 20 + (i % 60),
    ignore_eos: true,
    temperature: i % 2 === 0 ? 0 : 1,
    seed: i,
    stream: true,
  }
}

async function main(numClients: number, minutes: number): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), ['serve'], { execArgv: [...process.execArgv, '--expose-gc'] })
  const [port] = (await once(child, 'message')) as [number]
  const memory = async (): Promise<Memory> => {
    child.send('memory')
    return ((await once(child, 'message')) as [Memory])[0]
  }
  const ask = async (i: number, options = {}) =>
    parseStream(await readAnswer({ port, path: '/v1/chat/completions' }, question(i), options))
  const expected = new Map<number, string>()
  for (let i = 0; i < numQuestions; i++) expected.set(i, (await ask(i)).text)

  const counts = { whole: 0, left: 0, lost: 0, mixed: 0 }
  const state = { isOver: false }
  const client = async (number: number): Promise<void> => {
    for (let turn = 0; !state.isOver; turn++) {
      const i = (number * 7 + turn * 13) % numQuestions
      const kind = ((number * 31 + turn * 17) % 100) / 100
      const isVanishing = kind < shareOfVanishing
      const isSlow = !isVanishing && kind < shareOfVanishing + shareOfSlow
      try {
        const answer = await ask(i, { ...(isVanishing && { vanishAfter: 600 }), ...(isSlow && { waitMs: 50 }) })
        if (isVanishing) counts.left++
        else if (answer.status !== 200 || !answer.isComplete) counts.lost++
        else if (answer.text === expected.get(i)) counts.whole++
        else counts.mixed++
      } catch {
        counts.lost++
      }
    }
  }
  const waits: number[] = []
  const probe = async (): Promise<void> => {
    while (!state.isOver) {
      const startedAt = performance.now()
      await health(port)
      waits.push(performance.now() - startedAt)
      await sleep(20)
    }
  }
  console.log(
    `${numClients} clients for ${minutes} minutes; ${availableParallelism()} threads, ${cpus()[0]?.model ?? ''}`,
  )
  console.log('| minute | RSS, MiB | heap, MiB | running |')
  console.log('| --- | --- | --- | --- |')
  const row = async (name: string): Promise<void> => {
    const { rss, heapUsed, numRunning } = await memory()
    console.log(`| ${name} | ${(rss / mib).toFixed(0)} | ${(heapUsed / mib).toFixed(0)} | ${numRunning} |`)
  }
  await row('before')
  const all = [probe(), ...Array.from({ length: numClients }, (_, number) => client(number))]
  const numRows = Math.max(1, Math.round(minutes))
  for (let minute = 1; minute <= numRows; minute++) {
    await sleep((minutes * 60_000) / numRows)
    await row(String(minute))
  }
  state.isOver = true
  await Promise.all(all)
  await sleep(1000)
  await row('after')
  child.kill()
  const [p50, p99] = [percentile(waits, 50), percentile(waits, 99)]
  console.log(
    `answers: ${counts.whole} whole, ${counts.left} left by their clients, ${counts.lost} lost, ${counts.mixed} mixed up`,
  )
  console.log(`/health, ms: p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, longest ${Math.max(...waits).toFixed(1)}`)
  process.exitCode = counts.lost + counts.mixed === 0 ? 0 : 1
  process.exit()
}

function health(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    get({ port, path: '/health' }, (response) => response.resume().once('end', resolve)).once('error', reject)
  })
}

async function serve(): Promise<void> {
  const engine = await AsyncEngine.create({ model: 'octavo-tiny', maxNumSeqs: 256 }, { modules: [nativeBackend] })
  const { port } = await listen(createApp({ engine }), { port: 0 })
  process.on('message', () => {
    globalThis.gc?.()
    const { rss, heapUsed } = process.memoryUsage()
    const { numRunningSeqs, numWaitingSeqs } = engine.metrics()
    process.send?.({ rss, heapUsed, numRunning: numRunningSeqs + numWaitingSeqs } satisfies Memory)
  })
  process.send?.(port)
}

const [first = '256', second = '5'] = process.argv.slice(2)
if (first === 'serve') await serve()
else await main(Number(first), Number(second))
