import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { Program } from './program.ts'

const run = promisify(execFile)
const packages = path.join(import.meta.dirname, '..', 'packages')

/** Packages as they are published, installed by npm in a folder of their own where no compiler can be found. */
export class Installation {
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
    await writeFile(path.join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
    await installation.install(tarballs)
    return installation
  }

  async install(tarballs: readonly string[]): Promise<void> {
    const args = ['install', '--no-audit', '--no-fund', '--no-update-notifier', '--prefer-offline', ...tarballs]
    const { npm_config_prefix: _, ...env } = process.env
    await run(path.join(this.folder, 'bin', 'npm'), args, { cwd: this.folder, env: { ...env, ...this.#env } })
  }

  /** A program of the installed packages, or one that imports them. */
  run(args: readonly string[]): Program {
    return new Program(args, { cwd: this.folder, env: this.#env })
  }

  octavo(args: readonly string[]): Program {
    return this.run([path.join(this.folder, 'node_modules', 'octavo', 'bin', 'octavo.js'), ...args])
  }
}

/** What the packages depend on comes from npm's registry. */
export async function isRegistryThere(): Promise<boolean> {
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

/** Tarballs of packages, by their folders' names, as `pnpm publish` would upload them. */
export async function packTo(folder: string, names: readonly string[]): Promise<string[]> {
  await mkdir(folder)
  for (const name of names)
    await run('pnpm', ['pack', '--pack-destination', folder], { cwd: path.join(packages, name) })
  return (await readdir(folder)).map((file) => path.join(folder, file))
}
