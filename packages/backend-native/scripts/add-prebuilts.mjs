// Just before a release: makes the packages in prebuilt/ optional dependencies of this one, in its package.json.
// Not in the repository, where an install would look for versions that are not published yet.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

function read(file) {
  return JSON.parse(readFileSync(file, 'utf8'))
}

const folder = path.join(root, 'prebuilt')
const prebuilts = (existsSync(folder) ? readdirSync(folder) : []).map((name) =>
  read(path.join(folder, name, 'package.json')),
)
const file = path.join(root, 'package.json')
const own = read(file)
const stale = prebuilts.filter(({ version }) => version !== own.version)
if (prebuilts.length === 0 || stale.length > 0) {
  const what = stale.map(({ name, version }) => `${name}@${version}`).join(', ') || 'nothing'
  console.error(`backend-native: prebuilt/ must hold packages of version ${own.version}, found ${what}`)
  process.exitCode = 1
} else {
  const optionalDependencies = Object.fromEntries(prebuilts.map(({ name, version }) => [name, version]))
  writeFileSync(file, `${JSON.stringify({ ...own, optionalDependencies }, null, 2)}\n`)
  console.log(`optional dependencies of ${own.name}: ${Object.keys(optionalDependencies).join(', ')}`)
}
