/**
 * What a scrape of the metrics costs: `npm run bench -- telemetry [model] [rounds]`. A server in a process of its own streams 16 answers
 * at once, in turns unwatched and scraped ten times a second. In CPU time of its main thread, which does all of that: the engine's thread
 * takes no part, and what else runs on the machine does not count.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism, cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { nativeBackend } from '@octavo/backend-native'
import { AsyncEngine } from '@octavo/core'
import { createApp, listen } from '@octavo/server'
import { countStreamed } from './src/http-stream.ts'
import { median } from './src/percentile.ts'

const numStreams = 16
const maxTokens = 400
const scrapeEveryMs = 100
/** Prometheus's usual interval is 15 to 60. */
const intervalSeconds = 5

interface Started {
  readonly port: number
}

async function main(model: string, rounds: number): Promise<void> {
  const server = await start(model)
  const figures = { unwatched: [] as number[], scrape: [] as number[] }
  await load(server)
  for (let round = 0; round < rounds; round++) {
    const unwatched = await cpuMsOf(server, () => load(server))
    let numScrapes = 0
    const watched = await cpuMsOf(server, async () => {
      numScrapes = await whileScraping(server, () => load(server))
    })
    figures.unwatched.push(unwatched)
    figures.scrape.push((watched - unwatched) / numScrapes)
  }
  server.child.kill()
  const scrape = median(figures.scrape)
  console.log(`${availableParallelism()} threads, ${cpus()[0]?.model ?? 'unknown CPU'}`)
  console.log(`| ${model}, CPU time of the main thread | |`)
  console.log('| --- | --- |')
  console.log(
    `| a token of ${numStreams} streams | ${((1000 * median(figures.unwatched)) / numStreams / maxTokens).toFixed(1)} µs |`,
  )
  console.log(`| a scrape | ${scrape.toFixed(2)} ms |`)
  console.log(`| a scrape every ${intervalSeconds} s | ${(scrape / intervalSeconds / 10).toFixed(3)} % of a CPU |`)
}

interface Server extends Started {
  readonly child: ChildProcess
}

async function start(model: string): Promise<Server> {
  const child = fork(fileURLToPath(import.meta.url), ['serve', model])
  const [{ port }] = (await once(child, 'message')) as [Started]
  return { child, port }
}

async function load({ port }: Server): Promise<void> {
  const body = { prompt: 'The cat sees', max_tokens: maxTokens, ignore_eos: true, temperature: 0, stream: true }
  const streams = Array.from({ length: numStreams }, () => countStreamed({ port, path: '/v1/completions' }, body))
  for (const count of await Promise.all(streams))
    if (count !== maxTokens) throw new Error(`a stream had ${count} tokens, not ${maxTokens}`)
}

async function cpuMsOf({ child }: Server, run: () => Promise<void>): Promise<number> {
  const ask = async (): Promise<number> => {
    child.send('cpu')
    return ((await once(child, 'message')) as [number])[0]
  }
  const before = await ask()
  await run()
  return (await ask()) - before
}

/** @returns how often it was read */
async function whileScraping({ port }: Server, run: () => Promise<void>): Promise<number> {
  const scrapes: Promise<string>[] = []
  const scrape = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const timer = setInterval(() => scrapes.push(scrape()), scrapeEveryMs)
  await run().finally(() => clearInterval(timer))
  return (await Promise.all(scrapes)).length
}

async function serve(model: string): Promise<void> {
  const engine = await AsyncEngine.create({ model, backend: 'native' }, { modules: [nativeBackend] })
  const app = createApp({ engine })
  const { port } = await listen(app, { port: 0 })
  process.on('message', () => {
    const { user, system } = process.threadCpuUsage()
    process.send?.((user + system) / 1000)
  })
  process.send?.({ port } satisfies Started)
}

const [first = 'octavo-tiny', second = '7'] = process.argv.slice(2)
if (first === 'serve') await serve(second)
else await main(first, Number(second))
