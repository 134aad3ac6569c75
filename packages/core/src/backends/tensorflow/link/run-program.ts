import { execFile } from 'node:child_process'
import { plainText } from '../../../util/plain-text.ts'

export interface ProgramResult {
  /** Null when a signal ended it or it could not be started. */
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  /** ENOENT and the like when it could not be started. */
  readonly startError: string | null
  readonly stdout: string
  readonly stderr: string
}

export interface ProgramOptions {
  readonly timeoutMs: number
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

const maxOutputBytes = 16 * 1024 ** 2

/** Runs a program to its end, without a shell; whatever happens to it is a result. */
export function runProgram(
  file: string,
  args: readonly string[],
  { timeoutMs, cwd, env }: ProgramOptions,
): Promise<ProgramResult> {
  return new Promise((resolve) => {
    const options = { cwd, env, timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: maxOutputBytes } as const
    execFile(file, args, options, (error, stdout, stderr) => {
      const code = error?.code ?? 0
      resolve({
        exitCode: typeof code === 'number' && error?.signal == null ? code : null,
        signal: error?.signal ?? null,
        startError: typeof code === 'string' ? code : null,
        stdout,
        stderr,
      })
    })
  })
}

/** The last lines of a program's output, without control characters, which could steer the reader's terminal. */
export function tailOf(output: string, maxLines: number): string {
  const lines = output.trim().split('\n').slice(-maxLines)
  return lines.map((line) => plainText(line.slice(0, 500))).join('\n')
}
