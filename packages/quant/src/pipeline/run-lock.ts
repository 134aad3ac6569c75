import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { QuantizationError } from '@octavo/core/quantization'
import { onDisk } from '../checkpoint/disk-errors.ts'

interface Holder {
  readonly pid: number
  readonly host: string
  /** When the process began, as its system counts: other processes get the same id later. `null` where that is not known. */
  readonly start: string | null
}

/** A file is written at once; one that says nothing after this long never will. */
const unreadableMs = 10_000

/**
 * One run at a time works on a target: a file beside it names who does. What a run that was killed has left is taken over,
 * unless it ran on another machine, of which nothing is known.
 */
export class RunLock {
  readonly #file: string
  readonly #text: string

  private constructor(file: string, text: string) {
    this.#file = file
    this.#text = text
  }

  /** @throws QuantizationError naming process and host of a run that has it */
  static acquire(target: string): RunLock {
    const path = resolve(target)
    const file = join(dirname(path), `.${basename(path)}.octavo.lock`)
    const holder: Holder = { pid: process.pid, host: hostname(), start: statOf(process.pid)?.start ?? null }
    const text = JSON.stringify(holder)
    for (;;) {
      if (tryCreate(file, text)) return new RunLock(file, text)
      const found = tryRead(file)
      if (found === null) continue
      if (!isLeft(file, found)) throw heldBy(path, file, found)
      takeAway(file, found)
    }
  }

  release(): void {
    if (tryRead(this.#file) === this.#text) rmSync(this.#file, { force: true })
  }
}

function tryCreate(file: string, text: string): boolean {
  try {
    onDisk(file, () => {
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, text, { flag: 'wx' })
    })
    return true
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false
    throw error
  }
}

/** `null`: it is gone by now. */
function tryRead(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT')) return null
    throw error
  }
}

function isLeft(file: string, text: string): boolean {
  const holder = parseHolder(text)
  if (holder === null) {
    const written = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
    return Date.now() - written > unreadableMs
  }
  if (holder.host !== hostname()) return false
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    return isCode(error, 'ESRCH')
  }
  const now = statOf(holder.pid)
  return now !== null && (now.isDead || (holder.start !== null && now.start !== holder.start))
}

function parseHolder(text: string): Holder | null {
  try {
    const { pid, host, start } = JSON.parse(text) as Partial<Holder>
    return Number.isInteger(pid) && typeof host === 'string' ? { pid: pid!, host, start: start ?? null } : null
  } catch {
    return null
  }
}

/** Of two that take it away at once, one finds that it has another's, and puts that back. */
function takeAway(file: string, expected: string): void {
  const away = `${file}.${process.pid}`
  try {
    renameSync(file, away)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return
    throw error
  }
  if (tryRead(away) === expected) rmSync(away, { force: true })
  else renameSync(away, file)
}

function heldBy(target: string, file: string, text: string): QuantizationError {
  const holder = parseHolder(text)
  const who = holder === null ? 'another run' : `a run with process id ${holder.pid} on ${holder.host}`
  return new QuantizationError(
    `${target} is being made by ${who}. Wait for it, stop it, or choose another folder; if it is not running any more, remove ${file}`,
  )
}

/** Linux only. */
function statOf(pid: number): { readonly start: string | null; readonly isDead: boolean } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { start: fields[19] ?? null, isDead: fields[0] === 'Z' || fields[0] === 'X' }
  } catch {
    return null
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
