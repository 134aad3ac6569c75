import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { octavoBin, Program } from './program.ts'

const preload = path.join(import.meta.dirname, 'faults', 'engine-thread.mjs')

let folder: string
let trigger: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'octavo-faults-'))
  trigger = path.join(folder, 'now')
})
afterEach(() => rmSync(folder, { recursive: true }))

/** A server in whose engine thread something goes wrong as soon as `trigger` is there. */
async function serveWith(fault: string, args: readonly string[] = []): Promise<{ program: Program; url: string }> {
  const command = ['--import', preload, octavoBin, 'serve', 'octavo-tiny', '--port', '0', ...args]
  const program = new Program(command, { env: { OCTAVO_TEST_FAULT: fault, OCTAVO_TEST_WHEN: trigger } })
  const [, url = ''] = await program.waitFor(/ at (http:\S+)\/v1/)
  return { program, url }
}

function complete(url: string, body: Record<string, unknown> = {}): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'octavo-tiny', prompt: 'secret-word', temperature: 0, max_tokens: 4, ...body }),
  })
}

const status = async (url: string): Promise<number> => (await fetch(`${url}/health`)).status

describe('an engine that dies under octavo serve', () => {
  it('is started again; what it held is answered with an error, and the log has the cause', async () => {
    const { program, url } = await serveWith('throws', ['--restart-wait', '0'])
    await using server = program
    const held = complete(url, { stream: true, ignore_eos: true, max_tokens: 900 })
    const text = (await held).text()
    writeFileSync(trigger, '')
    expect(await text).toMatch(/data: \{"error":\{"message":"The engine has failed and is started again/)
    const refused = await complete(url)
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(await status(url)).toBe(503)
    expect(server.stderr).toContain('the cable was pulled; plug it in')
    expect(server.stderr).toContain('it is started again (in 1 s, attempt 1 of 5)')
    await server.waitFor(/the engine serves again/)
    expect(await status(url)).toBe(200)
    expect((await complete(url)).status).toBe(200)
    expect(server.stderr).not.toContain('secret-word')
  })

  it('is waited for by what comes meanwhile, up to a bound', async () => {
    const { program, url } = await serveWith('throws', ['--restart-wait', '60'])
    await using server = program
    const held = await complete(url, { stream: true, ignore_eos: true, max_tokens: 900 })
    writeFileSync(trigger, '')
    expect(await held.text()).toContain('The engine has failed and is started again')
    const body = { ignore_eos: true }
    const answers = await Promise.all([complete(url, body), complete(url, { ...body, stream: true })])
    expect(answers.map(({ status: code }) => code)).toEqual([200, 200])
    expect(await answers[0]!.json()).toMatchObject({ choices: [{ finish_reason: 'length' }] })
    expect(await answers[1]!.text()).toContain('"finish_reason":"length"')
    expect(server.stderr).toContain('the engine serves again')
  })

  it('ends the command with 70 under --no-restart', async () => {
    const { program, url } = await serveWith('throws', ['--no-restart'])
    await using server = program
    const text = (await complete(url, { stream: true, ignore_eos: true, max_tokens: 900 })).text()
    writeFileSync(trigger, '')
    expect(await text).toContain('The engine has failed and cannot serve')
    expect(await server.exitCode, server.stderr).toBe(70)
    expect(server.stderr).toContain('the cable was pulled; plug it in')
  })
})

describe.skipIf(process.platform === 'win32')('an engine thread that does not go on', () => {
  it.each([
    ['loops', 0],
    // Nothing but a signal ends a process with such a thread.
    ['blocks', null],
  ])('%s, and SIGTERM still ends the server in time', async (fault, exitCode) => {
    execFileSync('mkfifo', [`${trigger}.fifo`])
    const { program, url } = await serveWith(fault, ['--shutdown-timeout', '1'])
    await using server = program
    writeFileSync(trigger, '')
    await sleep(200)
    const answer = complete(url).then(
      (response) => response.text(),
      () => '',
    )
    await sleep(200)
    const startedAt = performance.now()
    server.kill('SIGTERM')
    expect(await server.exitCode, server.stderr).toBe(exitCode)
    expect(performance.now() - startedAt).toBeLessThan(15_000)
    expect(await answer).not.toMatch(/"finish_reason":"(stop|length)"/)
  })

  it('loops, and a second SIGINT ends the server at once', async () => {
    const { program, url } = await serveWith('loops')
    await using server = program
    writeFileSync(trigger, '')
    await sleep(200)
    const answer = complete(url).catch(() => {})
    await sleep(200)
    server.kill('SIGINT')
    await server.waitFor(/stopping/)
    await sleep(600) // sooner counts as the same Ctrl-C
    const startedAt = performance.now()
    server.kill('SIGINT')
    expect(await server.exitCode).toBe(130)
    expect(performance.now() - startedAt).toBeLessThan(3_000)
    await answer
  })
})

describe.skipIf(process.platform === 'win32')('weights that never come', () => {
  it('are refused, with their name', async () => {
    const model = path.join(import.meta.dirname, '../packages/core/models/octavo-tiny')
    execFileSync('cp', ['-r', `${model}/.`, folder])
    rmSync(path.join(folder, 'model.safetensors'))
    execFileSync('mkfifo', [path.join(folder, 'model.safetensors')])
    await using program = new Program([octavoBin, 'run', folder, 'Hi'])
    expect(await program.exitCode).toBe(1)
    expect(program.stderr).toContain('model.safetensors')
  })
})
