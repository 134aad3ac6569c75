import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Program } from './program.ts'

const run = promisify(execFile)
const packages = path.join(import.meta.dirname, '..', 'packages')
const native = path.join(packages, 'backend-native')
const addon = path.join(native, 'build', 'octavo_native.node')
// Windows has no native addon yet; what the packages depend on comes from npm's registry.
const isPossible = existsSync(addon) && process.platform !== 'win32' && (await isRegistryThere())

interface BackendRow {
  readonly name: string
  readonly available: boolean
  readonly chosen: boolean
  readonly reason: string
}

/** Packages as they are published, installed by npm in a folder of their own where no compiler can be found. */
class Installation {
  readonly folder: string
  readonly #env: Readonly<Record<string, string>>

  private constructor(folder: string) {
    this.folder = folder
    this.#env = { PATH: path.join(folder, 'bin') }
  }

  static async create(folder: string, tarballs: readonly string[]): Promise<Installation> {
    const installation = new Installation(folder)
    await mkdir(path.join(folder, 'bin'), { recursive: true })
    for (const [name, target] of Object.entries({
      node: process.execPath,
      npm: await findOnPath('npm'),
      sh: '/bin/sh',
    }))
      await symlink(target, path.join(folder, 'bin', name))
    await writeFile(path.join(folder, 'package.json'), '{ "private": true }\n')
    await installation.install(tarballs)
    return installation
  }

  async install(tarballs: readonly string[]): Promise<void> {
    const args = ['install', '--no-audit', '--no-fund', '--no-update-notifier', '--prefer-offline', ...tarballs]
    const { npm_config_prefix: _, ...env } = process.env
    await run(path.join(this.folder, 'bin', 'npm'), args, { cwd: this.folder, env: { ...env, ...this.#env } })
  }

  octavo(args: readonly string[]): Program {
    const program = path.join(this.folder, 'node_modules', 'octavo', 'bin', 'octavo.js')
    return new Program([program, ...args], { cwd: this.folder, env: this.#env })
  }

  async nativeRow(): Promise<BackendRow> {
    await using program = this.octavo(['env', '--json'])
    expect(await program.exitCode, program.stderr).toBe(0)
    const { backends } = JSON.parse(program.stdout) as { backends: BackendRow[] }
    return backends.find(({ name }) => name === 'native')!
  }
}

async function isRegistryThere(): Promise<boolean> {
  return run('npm', ['view', '@tensorflow/tfjs-core@4.22.0', 'version']).then(
    () => true,
    () => false,
  )
}

async function findOnPath(name: string): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(path.delimiter)) {
    if (existsSync(path.join(folder, name))) return path.join(folder, name)
  }
  throw new Error(`${name} is not on PATH`)
}

async function packTo(folder: string): Promise<{ published: string[]; prebuilt: string }> {
  await mkdir(folder)
  for (const name of ['backend-native', 'cli', 'core', 'sdk', 'server'])
    await run('pnpm', ['pack', '--pack-destination', folder], { cwd: path.join(packages, name) })
  const published = (await readdir(folder)).map((file) => path.join(folder, file))
  const out = path.join(folder, 'prebuilt')
  await run(process.execPath, [path.join(native, 'scripts', 'pack-prebuilt.mjs'), `--out=${out}`])
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: out })
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }]
  return { published, prebuilt: path.join(folder, filename) }
}

describe.skipIf(!isPossible)('the packages as npm installs them where no compiler is', () => {
  let root: string
  let installation: Installation
  let prebuilt: string

  beforeAll(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'octavo-installed-'))
    const packed = await packTo(path.join(root, 'packed'))
    prebuilt = packed.prebuilt
    installation = await Installation.create(path.join(root, 'user'), packed.published)
  }, 300_000)
  afterAll(() => rm(root, { recursive: true, force: true }))

  it('say what to do where no ready-made addon is', async () => {
    const { available, reason } = await installation.nativeRow()
    expect(available).toBe(false)
    expect(reason).toContain(`npm install @octavo/backend-native-${process.platform}-${process.arch}`)
  })

  it('answer on wasm until then', async () => {
    await using program = installation.octavo(['run', 'octavo-tiny', 'What is 47 + 35?', '--temperature', '0'])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout.trim()).toBe('47 + 35 = 82.')
  })

  it('answer on the C++ kernels of the ready-made addon', async () => {
    await installation.install([prebuilt])
    expect(await installation.nativeRow()).toMatchObject({ available: true, chosen: true })
    const args = ['run', 'octavo-tiny', 'What is 47 + 35?', '--temperature', '0', '--backend', 'native']
    await using program = installation.octavo(args)
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout.trim()).toBe('47 + 35 = 82.')
  }, 300_000)
})

if (!isPossible)
  it.skip("the packages as installed: no compiler built the addon, npm's registry does not answer, or this is Windows", () => {})
