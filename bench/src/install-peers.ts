import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

/** Installs other engines where they are not there in the wanted version; apart from the repository's own dependencies. */
export function installPeers(folder: string): void {
  const { dependencies } = readPackage(folder)
  const isInstalled = Object.entries(dependencies ?? {}).every(([name, version]) => {
    const installed = path.join(folder, 'node_modules', name)
    return existsSync(path.join(installed, 'package.json')) && readPackage(installed).version === version
  })
  if (isInstalled) return
  console.error('Installing other engines into bench/peers (about 1.2 GB) …')
  // Their install scripts would fetch what CPUs do not need.
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
}

interface Package {
  readonly version?: string
  readonly dependencies?: Readonly<Record<string, string>>
}

function readPackage(folder: string): Package {
  return JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as Package
}
