import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { octavo, type Program } from './program.ts'

const root = mkdtempSync(path.join(os.tmpdir(), 'octavo-tensorflow-'))
const linked = process.env['OCTAVO_TENSORFLOW']?.trim() ?? ''
let numFolders = 0
let folder = ''

beforeEach(() => mkdirSync((folder = path.join(root, String(numFolders++)))))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** As for a user who has linked nothing. */
function octavoAfresh(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
  return octavo(args, { env: { XDG_DATA_HOME: folder, OCTAVO_TENSORFLOW: '', ...env } })
}

function plant(name: string, content = '', mode = 0o644): string {
  const file = path.join(folder, name)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, content)
  chmodSync(file, mode)
  return file
}

/** A libtensorflow of empty files, and a compiler that fails at it. */
function plantFailingLink(): { lib: string; CXX: string } {
  for (const header of ['c/c_api.h', 'c/eager/c_api.h', 'core/platform/ctstring_internal.h'])
    plant(`unpacked/include/tensorflow/${header}`)
  for (const name of ['libtensorflow.so.2', 'libtensorflow.2.dylib']) plant(`unpacked/lib/${name}`)
  const code = `#!${process.execPath}\nif (!process.argv.includes('--version')) { console.error('no such type'); process.exitCode = 1 }\n`
  return { lib: path.join(folder, 'unpacked'), CXX: plant('cxx', code, 0o755) }
}

describe.skipIf(process.platform === 'win32')('octavo tensorflow', () => {
  it('says what is missing and exits with 1', async () => {
    await using program = octavoAfresh(['tensorflow', 'link', '--python', path.join(folder, 'python')])
    expect(await program.exitCode).toBe(1)
    expect(program.stderr).toMatch(/^error: There is no Python at .*python \(ENOENT\)/)
    expect(program.stderr).not.toContain('    at ')
  })

  it('takes one source', async () => {
    await using program = octavoAfresh(['tensorflow', 'link', '--python', 'python3', '--lib', folder])
    expect(await program.exitCode).toBe(2)
  })

  it('keeps what was linked before when it fails', async () => {
    const { lib, CXX } = plantFailingLink()
    const earlier = plant('into/tfjs_binding.node', 'earlier')
    const into = path.dirname(earlier)
    await using program = octavoAfresh(['tensorflow', 'link', '--lib', lib, '--into', into], { CXX })
    expect(await program.exitCode).toBe(1)
    expect(program.stdout).toContain('found TensorFlow (unknown): ')
    expect(program.stderr).toMatch(/^error: .*cxx failed \(exit code 1\):\nno such type\n/)
    expect(readdirSync(into)).toEqual(['tfjs_binding.node'])
    expect(readFileSync(earlier, 'utf8')).toBe('earlier')
  })

  it('shows and removes what is linked', async () => {
    await using none = octavoAfresh(['tensorflow', 'status'])
    expect(await none.exitCode).toBe(1)
    const binding = plant(`octavo/tensorflow/${process.platform}-${process.arch}/tfjs_binding.node`)
    await using one = octavoAfresh(['tensorflow', 'status'])
    expect(await one.exitCode).toBe(0)
    expect(JSON.parse(one.stdout)).toEqual({ file: binding, manifest: null })
    await using removal = octavoAfresh(['tensorflow', 'unlink'])
    expect(await removal.exitCode).toBe(0)
    expect(existsSync(binding)).toBe(false)
  })
})

describe('octavo env', () => {
  it('says how to get a TensorFlow where there is none', async () => {
    await using program = octavoAfresh(['env'])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toMatch(/^tensorflow +none: .*octavo tensorflow link/m)
  })

  it.skipIf(linked === '')("shows TensorFlow's version and devices (skipped without OCTAVO_TENSORFLOW)", async () => {
    await using program = octavo(['env', '--json'])
    expect(await program.exitCode, program.stderr).toBe(0)
    const { tensorflow } = JSON.parse(program.stdout)
    expect(tensorflow).toMatchObject({ version: expect.stringMatching(/^2\./), devices: expect.anything() })
    expect(tensorflow.devices).toContainEqual(expect.objectContaining({ type: 'CPU' }))
    await using lines = octavo(['env'])
    expect(await lines.exitCode).toBe(0)
    expect(lines.stdout).toMatch(/^tensorflow +2\.\d+\.\d+ \(.*\) on CPU/m)
  })
})
