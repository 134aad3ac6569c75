// Compiles native/**/*.cc to build/octavo_native.node: `node scripts/build-native.mjs [--sanitize] [--arch=arm64]`.
// `--arch`: for another architecture, into build-<arch>; CXX names the cross compiler (Linux: g++ of that architecture).
// Needs only a C++ compiler; the headers of Node-API come from npm. Without a compiler it says so and succeeds: the
// engine then runs on WebAssembly.
import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { weightFormats } from '../../core/src/tensor/dtype.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const source = path.join(root, 'native')
const isSanitized = process.argv.includes('--sanitize')
const arch = process.argv.find((argument) => argument.startsWith('--arch='))?.slice('--arch='.length) ?? process.arch
const isCross = arch !== process.arch
const build = path.join(root, isSanitized ? 'build-sanitize' : isCross ? `build-${arch}` : 'build')
const target = path.join(build, 'octavo_native.node')
const numJobs = availableParallelism()
/** On a terminal a line that counts, elsewhere a line now and then. */
const progressMs = process.stdout.isTTY ? 0 : 15_000

const avx2 = ['-mavx2', '-mfma', '-mf16c']
// GCC 12's own intrinsics read a variable that they leave undefined on purpose (its bug 105593).
const undefinedOnPurpose = ['-Wno-uninitialized', '-Wno-maybe-uninitialized', '-Wno-unknown-warning-option']
const avx512 = [
  ...avx2,
  ...undefinedOnPurpose,
  '-mavx512f',
  '-mavx512bw',
  '-mavx512vl',
  '-mavx512dq',
  '-mavx512vnni',
  '-mavx512bf16',
]
/** Of isa/<name>.cc; everything else is compiled for the least CPU of its architecture. */
const isaFlags = {
  avx2,
  avx512,
  amx: [...avx512, '-mamx-tile', '-mamx-int8', '-mamx-bf16'],
  neon: [],
  dotprod: ['-march=armv8.2-a+dotprod'],
}
/**
 * Vector kernels, where sanitized, without UBSan and watching over scopes, each access by a call: all of it inlined into
 * functions as large as theirs takes g++ many minutes a file. The scalar ones, of the same templates, have both in full.
 */
const lighterSanitizing = [
  '-fno-sanitize=undefined',
  '-fno-sanitize-address-use-after-scope',
  ...['--param', 'asan-instrumentation-with-call-threshold=0'],
]
const isaArchitectures = { avx2: 'x64', avx512: 'x64', amx: 'x64', neon: 'arm64', dotprod: 'arm64' }
const crossCompilers = { arm64: 'aarch64-linux-gnu-g++', x64: 'x86_64-linux-gnu-g++' }

/** The one to use, or null. */
function findCompiler() {
  const usual = isCross ? [crossCompilers[arch] ?? 'c++'] : ['g++', 'clang++', 'c++']
  const candidates = process.env.CXX?.trim() ? [process.env.CXX.trim()] : usual
  for (const compiler of candidates) {
    const { status, stdout } = spawnSync(compiler, ['--version'], { encoding: 'utf8' })
    if (status === 0) return { compiler, version: stdout.split('\n', 1)[0] }
  }
  return null
}

function flags() {
  const require = createRequire(import.meta.url)
  const folderOf = (name) => path.dirname(require.resolve(`${name}/package.json`))
  const sanitize = ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined', '-fno-omit-frame-pointer', '-g1']
  return [
    '-std=c++17',
    ...(isSanitized ? ['-O1', ...sanitize] : ['-O3', '-DNDEBUG']),
    '-fPIC',
    '-fvisibility=hidden',
    '-pthread',
    // A product and a sum become one fused operation only where the code says so: otherwise two loops over the same
    // values could round differently, and a result would depend on the batch.
    '-ffp-contract=off',
    ...['-Wall', '-Wextra', '-Werror'],
    // Where a worker is ended in the middle of a call, nothing can be thrown there any more: the call just returns.
    '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
    ...['-DNAPI_VERSION=8', '-DNODE_ADDON_API_CPP_EXCEPTIONS_ALL', '-DNODE_ADDON_API_DISABLE_DEPRECATED'],
    ...['-isystem', path.join(folderOf('node-api-headers'), 'include'), '-isystem', folderOf('node-addon-api')],
    ...['-I', source, '-I', build],
  ]
}

function linkFlags() {
  if (process.platform === 'darwin') return ['-bundle', '-undefined', 'dynamic_lookup', '-pthread']
  if (isSanitized) return ['-shared', '-pthread', '-fsanitize=address,undefined']
  // The C++ library is our own: nobody else may find its symbols in us, so that what we do not call can be left out.
  const alone = ['-static-libstdc++', '-static-libgcc', '-Wl,--exclude-libs,ALL', '-Wl,--gc-sections']
  return ['-shared', '-pthread', ...alone]
}

/** Core's table of formats for C++: X(enumerator, "name", block elements, block bytes). */
function writeFormats() {
  const file = path.join(build, 'formats.generated.h')
  const lines = Object.entries(weightFormats).map(([name, { blockElements, blockBytes }]) => {
    const enumerator = name.startsWith('q') ? name.toUpperCase() : name.charAt(0).toUpperCase() + name.slice(1)
    return `X(k${enumerator}, "${name}", ${blockElements}, ${blockBytes})`
  })
  const text = `#pragma once\n\n#define OCTAVO_FORMATS(X) \\\n  ${lines.join(' \\\n  ')}\n`
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text)
}

function filesWith(extension) {
  return readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(extension))
    .sort()
}

function hash(...parts) {
  const sum = createHash('sha256')
  for (const part of parts) sum.update(part).update('\0')
  return sum.digest('hex')
}

/** The file's text and that of all headers of ours that it includes, however deep. */
function sourcesOf(file, found = new Map()) {
  const place = [source, build].map((folder) => path.join(folder, file)).find((candidate) => existsSync(candidate))
  if (found.has(file) || place === undefined) return found
  const text = readFileSync(place, 'utf8')
  found.set(file, text)
  for (const [, header] of text.matchAll(/^#include "(.+)"/gm)) {
    sourcesOf(path.normalize(path.join(path.dirname(file), header)), found)
    sourcesOf(header, found) // by the include path of the root
  }
  return found
}

/** What to compile: each object with its flags and the hash of all that it is made of. */
function plan(version) {
  const common = flags()
  return filesWith('.cc').flatMap((file) => {
    const isa = Object.keys(isaFlags).find((name) => file === path.join('isa', `${name}.cc`))
    if (isa !== undefined && isaArchitectures[isa] !== arch) return []
    const isLighter = isSanitized && isa !== undefined && version.startsWith('g++')
    const arguments_ = [...common, ...(isa === undefined ? [] : isaFlags[isa]), ...(isLighter ? lighterSanitizing : [])]
    const object = path.join(build, 'objects', `${file.replaceAll(path.sep, '-')}.o`)
    const key = hash(version, arguments_.join(' '), ...sourcesOf(file).values())
    return [{ file, object, arguments_, key }]
  })
}

function isUpToDate({ object, key }) {
  return existsSync(object) && existsSync(`${object}.hash`) && readFileSync(`${object}.hash`, 'utf8') === key
}

/** A function to call after each file. */
function createProgress(total) {
  let done = 0
  let shownAt = performance.now()
  return () => {
    done++
    if (performance.now() - shownAt < progressMs) return
    shownAt = performance.now()
    const line = `  compiled ${done} of ${total} files`
    if (process.stdout.isTTY) process.stdout.write(done === total ? '\r\x1b[K' : `\r${line}`)
    else console.log(line)
  }
}

async function compileAll(compiler, units) {
  // Those of the instruction sets take longest: they begin first.
  const rank = ({ file }) => (file.startsWith('isa') ? 0 : 1)
  const waiting = units.filter((unit) => !isUpToDate(unit)).sort((a, b) => rank(a) - rank(b))
  const failures = []
  const numCompiled = waiting.length
  const progress = createProgress(numCompiled)
  const work = async () => {
    for (let unit = waiting.shift(); unit !== undefined; unit = waiting.shift()) {
      const { file, object, arguments_, key } = unit
      try {
        await promisify(execFile)(compiler, [...arguments_, '-c', path.join(source, file), '-o', object], {
          maxBuffer: 64 * 1024 ** 2,
        })
        writeFileSync(`${object}.hash`, key)
        progress()
      } catch (error) {
        failures.push(`${file}:\n${error.stderr || error.message}`)
      }
    }
  }
  await Promise.all(Array.from({ length: numJobs }, work))
  if (failures.length > 0) throw new Error(`the native kernels do not compile:\n\n${failures.join('\n')}`)
  return numCompiled
}

/** Under another name first: a process that has the old file loaded keeps it. */
async function link(compiler, units) {
  const key = hash(...units.map((unit) => unit.key), linkFlags().join(' '))
  const hashFile = `${target}.hash`
  if (existsSync(target) && existsSync(hashFile) && readFileSync(hashFile, 'utf8') === key) return
  const fresh = `${target}.${process.pid}`
  await promisify(execFile)(compiler, [...units.map(({ object }) => object), ...linkFlags(), '-o', fresh])
  renameSync(fresh, target)
  writeFileSync(hashFile, key)
}

async function main() {
  if (process.platform === 'win32') {
    console.log('backend-native: not built on Windows yet; Octavo runs on its wasm backend here.')
    return
  }
  const found = findCompiler()
  if (found === null) {
    const how =
      'Install g++ or clang++ (or set CXX) and run `npm --prefix packages/backend-native run build:native` for the fast CPU kernels'
    console.log(`backend-native: no C++ compiler found. ${how}; until then Octavo runs on its wasm backend.`)
    rmSync(target, { force: true })
    return
  }
  const startedAt = performance.now()
  mkdirSync(path.join(build, 'objects'), { recursive: true })
  writeFormats()
  const units = plan(found.version)
  const numCompiled = await compileAll(found.compiler, units)
  await link(found.compiler, units)
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  const name = path.relative(root, target)
  console.log(`${name}: ${numCompiled} of ${units.length} files compiled by ${found.version} in ${seconds} s`)
}

try {
  await main()
} catch (error) {
  console.error(`backend-native: ${error.message}`)
  process.exitCode = 1
}
