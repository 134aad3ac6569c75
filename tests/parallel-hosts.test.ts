/** Ranks on two hosts, made of network namespaces, which reach each other by TCP alone: as a server's users see them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { findMpiLibraries, type MpiLibrary } from '@octavo/parallel'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NetworkHosts, whyNoNetworkHosts } from './network-hosts.ts'
import { octavoBin, Program, serveTiny } from './program.ts'

const whyNot = whyNoNetworkHosts()
const libraries = whyNot === null ? (await findMpiLibraries()).filter(({ launcher }) => launcher !== null) : []
const reason = whyNot ?? (libraries.length === 0 ? 'no MPI library with its launcher was found' : null)

if (reason !== null) it.skip(`two hosts: ${reason}`)

const questions = [
  'Translate to Chinese: Those small mice like eight hats.',
  'Calculate 34 + 3.',
  '翻译成英文：明天很多大朋友会喝水。',
]
const stepTimeoutMs = 3000
const failureEvent = 'data: {"error":{"message":"The engine has failed and is started again'

interface Server {
  readonly program: Program
  readonly url: string
}

function post(url: string, path: string, body: Record<string, unknown>): Promise<Response> {
  return fetch(`${url}/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'octavo-tiny', temperature: 0, ...body }),
  })
}

/** Of all questions at once. */
function answersOf({ url }: Server): Promise<string[]> {
  return Promise.all(
    questions.map(async (content) => {
      const response = await post(url, 'chat/completions', { messages: [{ role: 'user', content }], max_tokens: 24 })
      const text = await response.text()
      expect(response.status, text).toBe(200)
      const { choices } = JSON.parse(text) as { choices: { message: { content: string } }[] }
      return choices[0]?.message.content ?? ''
    }),
  )
}

describe.skipIf(reason !== null)('two hosts', () => {
  let hosts: NetworkHosts
  let expected: string[]

  beforeAll(async () => {
    hosts = new NetworkHosts(2)
    const single = await serveTiny()
    await using _ = single.program
    expected = await answersOf(single)
    expect(expected[1]).toBe('34 + 3 = 37.')
  })
  afterAll(() => hosts[Symbol.dispose]())

  const first = () => hosts.hosts[0]!
  const second = () => hosts.hosts[1]!

  async function serve({ kind }: MpiLibrary, flags: readonly string[]): Promise<Server> {
    const where = ['--executor', 'mpi', '--mpi', kind, '--hosts', `${first().address},${second().address}`]
    const serving = [
      'serve',
      'octavo-tiny',
      '--host',
      '0.0.0.0',
      '--port',
      '0',
      '--step-timeout-ms',
      `${stepTimeoutMs}`,
    ]
    const [command, args] = hosts.commandOn(first(), [process.execPath, octavoBin, ...serving, ...where, ...flags])
    const program = new Program(args, { program: command, env: launcherVariables() })
    const [, port = ''] = await program.waitFor(/ at http:\S+:(\d+)\/v1/)
    return { program, url: `http://${first().address}:${port}` }
  }

  /** In place of ssh, and of the machine's other networks. */
  function launcherVariables(): Record<string, string> {
    const { launchAgent, subnet } = hosts
    return {
      OMPI_MCA_plm_rsh_agent: launchAgent,
      OMPI_MCA_oob_tcp_if_include: subnet,
      OMPI_MCA_btl_tcp_if_include: subnet,
      HYDRA_LAUNCHER: 'ssh',
      HYDRA_LAUNCHER_EXEC: launchAgent,
      HYDRA_IFACE: 'eth0',
    }
  }

  function ranksOn(host: NetworkHosts['hosts'][number]): number[] {
    // Launchers and their agents have the same command behind their own.
    const isRank = (line: string): boolean => /^\S*node \S*rank-process[.]js $/.test(line)
    return [...hosts.processesOn(host)].filter(([, line]) => isRank(line)).map(([pid]) => pid)
  }

  async function stop({ program }: Server): Promise<void> {
    program.kill('SIGTERM')
    expect(await program.exitCode, program.stderr).toBe(0)
  }

  /** On each host. Those that were cut off end by themselves once they have heard nothing for `--heartbeat-timeout-ms`. */
  async function expectRanks(numPerHost: number): Promise<void> {
    for (const host of hosts.hosts)
      await expect.poll(() => ranksOn(host).length, { timeout: 10_000, message: host.name }).toBe(numPerHost)
  }

  async function expectNothingLeft(): Promise<void> {
    for (const host of hosts.hosts) {
      await expect.poll(() => hosts.processesOn(host), { timeout: 5000, message: host.name }).toEqual(new Map())
      expect(hosts.filesOn(host), host.name).toEqual([])
    }
  }

  /** Once a request is under way: waits for its end, and says how long that took. */
  async function hold(url: string): Promise<() => Promise<{ text: string; tookMs: number }>> {
    const response = await post(url, 'completions', { prompt: 'Hi', stream: true, ignore_eos: true, max_tokens: 900 })
    const text = response.text()
    return async () => {
      const startedAt = performance.now()
      return { text: await text, tookMs: performance.now() - startedAt }
    }
  }

  async function expectServesAgain({ program, url }: Server): Promise<void> {
    while ((await fetch(`${url}/health`)).status !== 200) await sleep(100)
    expect(await answersOf({ program, url })).toEqual(expected)
  }

  it.each(
    libraries.flatMap((library) =>
      [
        ['--tp', '2'],
        ['--pp', '2'],
        ['--tp', '2', '--pp', '2'],
      ].map((flags) => ({ library, flags, of: flags.join(' ') })),
    ),
  )('$library.name, $of: the answers of one rank', async ({ library, flags }) => {
    const server = await serve(library, flags)
    await using _ = server.program
    expect(await answersOf(server)).toEqual(expected)
    await expectRanks(flags.length === 2 ? 1 : 2)
    await stop(server)
    await expectNothingLeft()
  })

  it.each(
    libraries.flatMap((library) => [
      // Which one is named first is chance: a launcher ends the other ranks as soon as it sees the end of one.
      { library, signal: 'SIGKILL', deadlineMs: 0, says: /rank [01] \(process \d+ on node[01]\) failed/ } as const,
      // MPI does not say who is missing: either the rank that waited is named, or the step.
      {
        library,
        signal: 'SIGSTOP',
        deadlineMs: stepTimeoutMs,
        says: /waited 3000 ms for the other ranks|did not finish a step within 3000 ms/,
      } as const,
    ]),
  )('$library.name: a rank elsewhere gets $signal, and the ranks serve again', async ({ library, ...fault }) => {
    const server = await serve(library, ['--tp', '2'])
    await using _ = server.program
    const held = await hold(server.url)
    process.kill(ranksOn(second())[0]!, fault.signal)
    const { text, tookMs } = await held()
    expect(text).toContain(failureEvent)
    expect(tookMs).toBeLessThan(fault.deadlineMs + 1000)
    expect(server.program.stderr).toMatch(fault.says)
    await expectServesAgain(server)
    await expectRanks(1)
    await stop(server)
    await expectNothingLeft()
  })

  it('the link is down for 10 s, and the ranks of every library serve again', async () => {
    const servers = await Promise.all(libraries.map((library) => serve(library, ['--tp', '2'])))
    await using programs = new AsyncDisposableStack()
    for (const { program } of servers) programs.use(program)
    const held = await Promise.all(servers.map(({ url }) => hold(url)))
    hosts.setLink(second(), 'down')
    const isBack = sleep(10_000).then(() => hosts.setLink(second(), 'up'))
    for (const [i, { text, tookMs }] of (await Promise.all(held.map((request) => request()))).entries()) {
      expect(text).toContain(failureEvent)
      expect(tookMs).toBeLessThan(stepTimeoutMs + 1000)
      expect((await fetch(`${servers[i]!.url}/health`)).status).toBe(503)
    }
    await isBack
    for (const server of servers) await expectServesAgain(server)
    await expectRanks(servers.length)
    for (const server of servers) await stop(server)
    await expectNothingLeft()
  })
})
