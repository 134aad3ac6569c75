/**
 * How long /health waits: `npm run bench -- health [streams]`. A server of octavo-tiny in a process of its own; from this one, /health is
 * asked for all the time while nobody, `streams` clients, and another `streams` at once beside them are answered.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { nativeBackend } from '@octavo/backend-native'
import { AsyncEngine } from '@octavo/core'
import { createApp, listen } from '@octavo/server'
import { percentile } from './src/percentile.ts'

const probeMs = 5
/** Of the front thread since the last question: the longest gap between turns, and the longest stretch of its CPU time. */
interface Gaps {
  readonly wallMs: number
  readonly cpuMs: number
}

const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

async function main(numStreams: number): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), ['serve'])
  const [port] = (await once(child, 'message')) as [number]
  const gaps = async (): Promise<Gaps> => {
    child.send('gaps')
    return ((await once(child, 'message')) as [Gaps])[0]
  }
  console.log(`/health in ms, ${numStreams} streams; gaps between turns of the server's front thread`)
  console.log('load | asked | p50 | p99 | longest | longest gap | longest CPU time')
  const measure = async (name: string, load: () => Promise<unknown>): Promise<void> => {
    await gaps()
    const state = { isOver: false }
    const running = load().finally(() => {
      state.isOver = true
    })
    const waits: number[] = []
    while (!state.isOver) {
      const start = performance.now()
      await get(port, '/health')
      waits.push(performance.now() - start)
      await sleep(probeMs)
    }
    await running
    const { wallMs, cpuMs } = await gaps()
    const times = [percentile(waits, 50), percentile(waits, 99), Math.max(...waits), wallMs, cpuMs]
    console.log([name, waits.length, ...times.map((ms) => ms.toFixed(1))].join(' | '))
  }
  const burst = (numSentences: number): Promise<unknown> =>
    Promise.all(Array.from({ length: numStreams }, (_, i) => post(port, chat(i, { maxTokens: 16, numSentences }))))
  const streams = (maxTokens: number): Promise<unknown> =>
    Promise.all(Array.from({ length: numStreams }, (_, i) => post(port, chat(i, { maxTokens, numSentences: 2 }))))
  await measure('warm-up', () => streams(8))
  await measure('nobody', () => sleep(2000))
  await measure('streams', () => streams(200))
  for (const [name, numSentences] of [
    ['short', 2],
    ['long', 70],
  ] as const) {
    await measure(`streams and a burst of ${name} prompts`, async () => {
      const before = streams(300)
      await sleep(1500)
      await Promise.all([before, burst(numSentences)])
    })
  }
  child.kill()
  agent.destroy()
}

function chat(i: number, { maxTokens, numSentences }: { maxTokens: number; numSentences: number }): object {
  const content = `${i}: ${'What is the capital of Norway, and who lives there? '.repeat(numSentences)}`
  return {
    messages: [{ role: 'user', content }],
    max_tokens: maxTokens,
    truncate_prompt_tokens: 600,
    ignore_eos: true,
    stream: true,
  }
}

function get(port: number, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    request({ port, path, agent }, (response) => response.resume().once('end', resolve))
      .once('error', reject)
      .end()
  })
}

function post(port: number, body: object): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    request({ port, path: '/v1/chat/completions', method: 'POST', headers, agent }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`))
      response.resume().once('end', resolve)
    })
      .once('error', reject)
      .end(JSON.stringify(body))
  })
}

async function serve(): Promise<void> {
  const engine = await AsyncEngine.create({ model: 'octavo-tiny', maxNumSeqs: 256 }, { modules: [nativeBackend] })
  const { port } = await listen(createApp({ engine }), { port: 0 })
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  let cpuMs = 0
  let before = process.threadCpuUsage()
  setInterval(() => {
    const now = process.threadCpuUsage()
    cpuMs = Math.max(cpuMs, (now.user + now.system - before.user - before.system) / 1000)
    before = now
  }, 1)
  process.on('message', () => {
    process.send?.({ wallMs: delay.max / 1e6, cpuMs } satisfies Gaps)
    delay.reset()
    cpuMs = 0
  })
  process.send?.(port)
}

if (process.argv[2] === 'serve') await serve()
else await main(Number(process.argv[2] ?? 256))
