// The package `@octavo/backend-native-<platform>-<arch>` around a built addon, as a folder for `npm publish`:
// `node scripts/pack-prebuilt.mjs [--arch=arm64] [--max-glibc=2.28] [--out=<folder>]`, else in prebuilt/<platform>-<arch>.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const fileName = 'octavo_native.node'

function option(name) {
  return process.argv.find((argument) => argument.startsWith(`--${name}=`))?.slice(`--${name}=`.length) ?? null
}

/** The newest symbol version of the C library that the addon asks for: such as 2.28. */
function neededGlibc(addon) {
  const { status, stdout } = spawnSync('readelf', ['--version-info', '--wide', addon], { encoding: 'utf8' })
  if (status !== 0) throw new Error('readelf (binutils) cannot read the addon: the C library that it needs is unknown')
  const versions = [...stdout.matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(([, major, minor]) => [Number(major), Number(minor)])
  return versions.sort(compareVersions).at(-1)?.join('.') ?? '0.0'
}

function compareVersions([major, minor], [otherMajor, otherMinor]) {
  return major - otherMajor || minor - otherMinor
}

function checkGlibc(needed, allowed) {
  if (allowed === null || compareVersions(needed.split('.'), allowed.split('.')) <= 0) return
  throw new Error(
    `the addon needs glibc ${needed}, and ${allowed} is the newest that it may need: build it on an older system`,
  )
}

function main() {
  const arch = option('arch') ?? process.arch
  const target = `${process.platform}-${arch}`
  const addon = path.join(root, arch === process.arch ? 'build' : `build-${arch}`, fileName)
  if (!existsSync(addon))
    throw new Error(`${path.relative(root, addon)} is missing: run scripts/build-native.mjs first`)
  const own = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
  const glibc = process.platform === 'linux' ? neededGlibc(addon) : null
  if (glibc !== null) checkGlibc(glibc, option('max-glibc'))
  const folder = path.resolve(option('out') ?? path.join(root, 'prebuilt', target))
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  copyFileSync(addon, path.join(folder, fileName))
  copyFileSync(path.join(root, '..', '..', 'LICENSE'), path.join(folder, 'LICENSE'))
  const needs = glibc === null ? '' : ` It needs glibc ${glibc} or newer.`
  const readme = `The C++ kernels of \`${own.name}\`, compiled for ${target}.${needs} Not for use on its own.\n`
  writeFileSync(path.join(folder, 'README.md'), `# ${own.name}-${target}\n\n${readme}`)
  const description = {
    name: `${own.name}-${target}`,
    version: own.version,
    description: `Octavo's C++ kernels, compiled for ${target}`,
    license: own.license,
    ...(own.repository && { repository: own.repository }),
    files: [fileName],
    exports: { [`./${fileName}`]: `./${fileName}`, './package.json': './package.json' },
    publishConfig: own.publishConfig,
    engines: own.engines,
    os: [process.platform],
    cpu: [arch],
    ...(glibc !== null && { libc: ['glibc'] }),
  }
  writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(description, null, 2)}\n`)
  console.log(`${folder}: ${description.name}@${description.version}${glibc === null ? '' : `, glibc ${glibc}`}`)
}

try {
  main()
} catch (error) {
  console.error(`backend-native: ${error.message}`)
  process.exitCode = 1
}
