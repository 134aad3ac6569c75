/** The process of one engine: an `EngineProcess` starts it and asks over the message channel, one thing at a time. */
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import type { BenchEngine, CreateEngine } from './bench-engine.ts'
import type { HostAnswers, HostMessage, HostRequest } from './host-messages.ts'
import { generateFirstToken, measureSpeed } from './measure-speed.ts'
import { playWorkload } from './play-workload.ts'

let engine: BenchEngine | null = null
let loadStartedAt = 0

function send(message: HostMessage): void {
  process.send?.(message)
}

async function answer(request: HostRequest): Promise<HostAnswers[HostRequest['type']]> {
  if (request.type === 'load') {
    const { createEngine } = (await import(pathToFileURL(request.module).href)) as { createEngine: CreateEngine }
    loadStartedAt = performance.now()
    engine = await createEngine(request.options)
    return { loadMs: performance.now() - loadStartedAt, description: engine.description }
  }
  if (engine === null) throw new Error('No engine is loaded.')
  if (request.type === 'first-token') {
    await generateFirstToken(engine)
    return { loadAndFirstTokenMs: performance.now() - loadStartedAt }
  }
  if (request.type === 'speed') {
    const speed = await measureSpeed(engine, request.plan, (text) => send({ type: 'progress', text }))
    return { ...speed, peakRssBytes: peakRssBytes() }
  }
  if (request.type === 'prepare') return engine.prepare(request.need)
  return playWorkload(engine, request.arrivals, request.options)
}

/** Linux counts it for the process; elsewhere it is what is in memory now. */
function peakRssBytes(): number {
  if (process.platform !== 'linux') return process.memoryUsage.rss()
  const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

process.on('message', (request: HostRequest) => {
  answer(request).then(
    (value) => send({ type: 'answer', value }),
    (error: unknown) => send({ type: 'error', message: error instanceof Error ? error.message : String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
