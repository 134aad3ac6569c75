import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import path from 'node:path'

/** The command as an installed package has it. */
export const octavoBin = path.join(
  path.dirname(createRequire(import.meta.url).resolve('octavo/package.json')),
  'bin/octavo.js',
)

export interface ProgramOptions {
  /** Node unless given. */
  readonly program?: string
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

interface Waiter {
  readonly pattern: RegExp
  readonly resolve: (match: RegExpExecArray) => void
  readonly reject: (error: Error) => void
}

/** A program on its own: what it wrote, how it ended, and a way to wait for either. Killed at the end of its scope. */
export class Program implements AsyncDisposable {
  stdout = ''
  stderr = ''
  readonly exitCode: Promise<number | null>
  readonly #child: ChildProcess
  #waiters: Waiter[] = []

  constructor(args: readonly string[], { program = process.execPath, cwd, env = {}, input }: ProgramOptions = {}) {
    // The hub must not be asked by a test.
    const childEnv = { ...process.env, HF_HUB_OFFLINE: '1', ...env }
    this.#child = spawn(program, args, { cwd, env: childEnv, stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#add('stdout', text))
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#add('stderr', text))
    this.#child.stdin?.end(input ?? '')
    this.exitCode = new Promise((resolve) => {
      this.#child.once('close', (code) => {
        resolve(code)
        for (const { reject, pattern } of this.#waiters)
          reject(new Error(`The program ended (${code}) before it wrote ${pattern}:\n${this.stderr}`))
      })
    })
  }

  /** Resolves with the match as soon as stdout or stderr holds it; rejects if the program ends before. */
  waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ pattern, resolve, reject })
      this.#add('stderr', '')
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** As `| head` does once it has enough. */
  closeStdout(): void {
    this.#child.stdout?.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.exitCode
  }

  #add(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text
    this.#waiters = this.#waiters.filter(({ pattern, resolve }) => {
      const match = pattern.exec(this.stderr) ?? pattern.exec(this.stdout)
      if (match !== null) resolve(match)
      return match === null
    })
  }
}

export function octavo(args: readonly string[], options?: ProgramOptions): Program {
  return new Program([octavoBin, ...args], options)
}

/** A server on a free port, once it takes requests. */
export async function serveTiny(
  args: readonly string[] = [],
  options?: ProgramOptions,
): Promise<{ program: Program; url: string }> {
  const program = octavo(['serve', 'octavo-tiny', '--port', '0', ...args], options)
  const [, url = ''] = await program.waitFor(/ at (http:\S+)\/v1/)
  return { program, url }
}
