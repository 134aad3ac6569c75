// pnpm at the pinned version, and with it the packages of the lockfile.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Failure, root, run, stateFolder } from './processes.mjs'
import { stage } from './stage.mjs'

export async function install() {
  const [major] = process.versions.node.split('.').map(Number)
  if (major < 20) throw new Failure(`Node ${process.versions.node} is too old; Octavo's scripts need Node 20 or newer.`)
  await stage('install', async () => {
    await fetchPnpm()
    // The first install shows its progress; later ones have nothing to show unless they fail.
    const isFirst = !existsSync(path.join(root, 'node_modules', '.modules.yaml'))
    const args = ['install', '--frozen-lockfile', '--config.confirm-modules-purge=false']
    if (!process.stdout.isTTY) args.push('--reporter=append-only')
    const { code, output } = await run('pnpm', args, { quiet: !isFirst })
    if (code === 0) return
    process.stderr.write(output)
    throw new Failure(
      `Installing the packages failed (pnpm exit code ${code}); its message is above. Only npm's registry is needed.`,
    )
  })
}

/** The version that package.json pins, from npm's registry into node_modules/.octavo; kept between runs. */
async function fetchPnpm() {
  const { packageManager } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
  const version = packageManager.replace(/^pnpm@/, '')
  if (installedVersion() === version) return
  mkdirSync(stateFolder, { recursive: true })
  writeFileSync(path.join(stateFolder, 'package.json'), '{ "private": true }\n')
  console.log(`  fetching pnpm ${version}`)
  const args = ['install', `pnpm@${version}`, '--prefix', stateFolder, '--no-save', '--no-package-lock']
  args.push('--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error')
  // npm names its own program to the scripts it runs: no search, no shell.
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm']
  const { code, output } = await run(npm[0], [...npm.slice(1), ...args], { quiet: true, cwd: stateFolder })
  if (code === 0 && installedVersion() === version) return
  throw new Failure(`Fetching pnpm ${version} from npm's registry failed (npm exit code ${code}).\n${output}`)
}

function installedVersion() {
  const file = path.join(stateFolder, 'node_modules', 'pnpm', 'package.json')
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : null
}
