/**
 * Hosts made of network namespaces on this machine: each has a host name, an address and a loopback of its own, and
 * they reach each other over veth pairs at a bridge. Needs root, `ip` and `unshare`.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

export interface NetworkHost {
  readonly name: string
  readonly address: string
  readonly namespace: string
}

export class NetworkHosts implements Disposable {
  readonly hosts: readonly NetworkHost[]
  /** What `mpirun` starts remote commands by, in place of ssh: `[options] host command…`. */
  readonly launchAgent: string
  /** As launchers and routes take it. */
  readonly subnet: string
  readonly #bridge: string
  readonly #folder: string

  constructor(numHosts: number) {
    const id = `${process.pid % 100_000}`
    // A network of its own, beside those of other test runs.
    const network = `10.77.${process.pid % 256}`
    this.#bridge = `obr${id}`
    this.subnet = `${network}.0/24`
    this.#folder = mkdtempSync(path.join(os.tmpdir(), 'octavo-hosts-'))
    this.launchAgent = path.join(this.#folder, 'launch-agent.sh')
    this.hosts = Array.from({ length: numHosts }, (_, i) => ({
      name: `node${i}`,
      address: `${network}.${i + 1}`,
      namespace: `octavo-${id}-${i}`,
    }))
    try {
      ip('link', 'add', this.#bridge, 'type', 'bridge')
      ip('link', 'set', this.#bridge, 'up')
      // This machine is in their network, too: their servers are reached from here.
      ip('address', 'add', `${network}.254/24`, 'dev', this.#bridge)
      for (const [i, host] of this.hosts.entries()) {
        this.#connect(host, `o${id}p${i}`)
        for (const name of ['shm', 'tmp']) mkdirSync(path.join(this.#folder, host.name, name), { recursive: true })
        writeFileSync(this.#scriptOf(host), hostScript(host, path.join(this.#folder, host.name)))
      }
      writeFileSync(
        this.launchAgent,
        agentScript(this.hosts, (host) => this.#scriptOf(host)),
        { mode: 0o755 },
      )
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
  }

  /** A command as it runs on a host: program and arguments. */
  commandOn(host: NetworkHost, command: readonly string[]): [string, string[]] {
    return ['sh', [this.#scriptOf(host), 'exec "$@"', ...command]]
  }

  /** Of whatever runs on a host, its command line by its id. */
  processesOn({ namespace }: NetworkHost): Map<number, string> {
    const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' })
    const pids = (stdout ?? '').split(/\s+/).filter(Boolean).map(Number)
    return new Map(pids.map((pid) => [pid, tryRead(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')]))
  }

  /** What lies in a host's shared memory and folder of temporary files. */
  filesOn(host: NetworkHost): string[] {
    return ['shm', 'tmp'].flatMap((name) => readdirSync(path.join(this.#folder, host.name, name)))
  }

  /** Takes a host's only link down, or up again. */
  setLink(host: NetworkHost, state: 'up' | 'down'): void {
    ip('-n', host.namespace, 'link', 'set', 'eth0', state)
  }

  /** Ends what still runs there, too. */
  [Symbol.dispose](): void {
    for (const host of this.hosts) {
      for (const pid of this.processesOn(host).keys()) tryKill(pid)
      spawnSync('ip', ['netns', 'delete', host.namespace])
    }
    spawnSync('ip', ['link', 'delete', this.#bridge])
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #scriptOf({ name }: NetworkHost): string {
    return path.join(this.#folder, `${name}.sh`)
  }

  #connect({ namespace, address }: NetworkHost, port: string): void {
    ip('netns', 'add', namespace)
    ip('link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace)
    ip('link', 'set', port, 'master', this.#bridge, 'up')
    ip('-n', namespace, 'address', 'add', `${address}/24`, 'dev', 'eth0')
    for (const device of ['lo', 'eth0']) ip('-n', namespace, 'link', 'set', device, 'up')
  }
}

/** Why this machine cannot have such hosts; `null` if it can. */
export function whyNoNetworkHosts(): string | null {
  if (process.platform !== 'linux') return 'network namespaces are a feature of Linux'
  try {
    new NetworkHosts(1)[Symbol.dispose]()
    return null
  } catch (error) {
    return `network namespaces cannot be made here (root and iproute2 are needed): ${error instanceof Error ? error.message.trim() : String(error)}`
  }
}

/** Runs its first argument as a script on the host, with the others as that one's: with a shared memory of the host's own, too. */
function hostScript({ name, namespace }: NetworkHost, folder: string): string {
  const begin = `hostname ${name}; mount --bind ${folder}/shm /dev/shm; export TMPDIR=${folder}/tmp`
  return `script=$1
shift
exec ip netns exec ${namespace} unshare --uts --mount sh -c "${begin}; $script" sh "$@"
`
}

function agentScript(hosts: readonly NetworkHost[], scriptOf: (host: NetworkHost) => string): string {
  const cases = hosts.map((host) => `  ${host.name}|${host.address}) host=${scriptOf(host)} ;;`)
  return `#!/bin/sh
while [ "\${1#-}" != "$1" ]; do shift; done
case "$1" in
${cases.join('\n')}
  *) echo "no host $1" >&2; exit 1 ;;
esac
shift
exec sh "$host" "$*"
`
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

function tryRead(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
