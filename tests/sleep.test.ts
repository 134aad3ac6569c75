/** octavo serve, put to sleep by its operator: what it gives back, and that it serves as before once it is awake. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { serveTiny } from './program.ts'

const key = 'the-operators-key'
const env = { OCTAVO_ADMIN_API_KEY: key }
const question = 'What is 47 + 35?'

async function ask(url: string): Promise<string> {
  const response = await post(`${url}/v1/chat/completions`, {
    messages: [{ role: 'user', content: question }],
    temperature: 0,
  })
  const { choices } = (await response.json()) as { choices: { message: { content: string } }[] }
  return choices[0]!.message.content
}

function post(url: string, body: object): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
}

async function operate(url: string): Promise<void> {
  const response = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${key}` } })
  expect([url, response.status]).toEqual([url, 200])
}

/** MiB. */
function memoryOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
}

/** Other blocks for each of the prompts, so that the cache holds them all. */
async function fillCache(url: string): Promise<void> {
  const prompts = Array.from({ length: 40 }, (_, i) =>
    Array.from({ length: 900 }, (_, j) => 300 + ((i * 7 + j * 13) % 999)),
  )
  const response = await post(`${url}/v1/completions`, { prompt: prompts, max_tokens: 1 })
  expect(response.status).toBe(200)
  await response.arrayBuffer()
}

describe('octavo serve, asleep', () => {
  it.skipIf(process.platform !== 'linux')('gives the memory of its KV cache back', async () => {
    const { program, url } = await serveTiny(['--kv-cache-memory', '1GiB'], { env })
    await using _ = program
    const answer = await ask(url)
    const before = memoryOf(program.pid)
    await fillCache(url)
    const filled = memoryOf(program.pid) - before
    expect(filled).toBeGreaterThan(60)
    await operate(`${url}/sleep?level=1`)
    await expect.poll(() => memoryOf(program.pid) - before, { timeout: 10_000 }).toBeLessThan(filled / 2)
    expect((await fetch(`${url}/health`)).status).toBe(200)
    const refused = await post(`${url}/v1/completions`, { prompt: 'a' })
    expect([refused.status, await refused.json()]).toMatchObject([
      503,
      { error: { message: expect.stringContaining('sleeps') } },
    ])
    await operate(`${url}/wake_up`)
    expect(await ask(url)).toBe(answer)
  })

  it.each([[[]], [['--tp', '2']]])('answers as before, with %j', async (flags: string[]) => {
    const { program, url } = await serveTiny(flags, { env })
    await using _ = program
    const answer = await ask(url)
    for (const level of [0, 1, 2]) {
      await operate(`${url}/sleep?level=${level}&mode=wait`)
      const waiting = ask(url)
      await operate(`${url}/reset_prefix_cache`)
      await operate(`${url}/wake_up`)
      expect(await waiting).toBe(answer)
    }
  })
})
