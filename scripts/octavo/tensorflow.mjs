// The TensorFlow that the tests of the backend `tensorflow` run on: OCTAVO_TENSORFLOW, else the one that this user has
// linked, else, on CI, pip's wheel linked into node_modules/.octavo. Sets OCTAVO_TENSORFLOW for what runs afterwards.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Failure, root, run, stateFolder } from './processes.mjs'

const version = '2.21.0'
const wheel = `tensorflow-cpu==${version}`
/** Whose wheel is taken where there is none for the Python that runs pip: it is linked to, not imported. */
const otherPython = '3.12'
const wheelFolder = path.join(stateFolder, `tensorflow-wheel-${version}`)
const linkFolder = path.join(stateFolder, `tensorflow-${version}`)

const bin = path.join(root, 'packages', 'cli', 'bin', 'octavo.js')
const nativeSources = path.join(root, 'packages', 'core', 'native', 'tensorflow')

/**
 * Runs after the build, since it uses the command `octavo tensorflow link`. Where there is no TensorFlow to be had it says
 * why, and the tests that need one are skipped; a link that fails is a failure.
 */
export async function prepareTensorflow() {
  const found = process.env.OCTAVO_TENSORFLOW?.trim() || (await findLinked())
  if (found) {
    console.log(`  TensorFlow: ${found}`)
    process.env.OCTAVO_TENSORFLOW = found
    return
  }
  const missing = process.env.CI ? await fetchAndLink() : 'none is linked (`npx octavo tensorflow link`)'
  if (missing === null) process.env.OCTAVO_TENSORFLOW = linkFolder
  else console.log(`  tests on TensorFlow are skipped: ${missing}`)
}

/** What an earlier CI run linked, if it is still what this one would link; else what the user has linked. */
async function findLinked() {
  if (readKey() === linkKey()) return linkFolder
  const { code, output } = await run('node', [bin, 'tensorflow', 'status'], { quiet: true })
  return code === 0 ? path.dirname(JSON.parse(output).file) : null
}

/** Null when it is linked, else why it cannot be had. */
async function fetchAndLink() {
  if (process.platform !== 'linux') return `CI links one on Linux only, this is ${process.platform}`
  const python = await findPip()
  if (python === null) return 'there is no python3 with pip'
  if (!existsSync(path.join(wheelFolder, 'tensorflow'))) {
    console.log(`  fetching ${wheel} with pip`)
    const own = await fetchWheel(python)
    const { code, output } = own.code === 0 ? own : await fetchWheel(python, ['--python-version', otherPython])
    if (code !== 0) return `pip could not install ${wheel} (exit code ${code}): ${lastLine(output)}`
  }
  const args = [bin, 'tensorflow', 'link', '--lib', path.join(wheelFolder, 'tensorflow'), '--into', linkFolder]
  const { code, output } = await run('node', args, { quiet: true })
  if (code !== 0) throw new Failure(`Linking ${wheel} failed (exit code ${code}).\n${output}`)
  writeFileSync(keyFile(), linkKey())
  console.log(`  TensorFlow: ${wheel} from pip, linked in ${path.relative(root, linkFolder)}`)
  return null
}

async function findPip() {
  for (const python of ['python3', 'python']) {
    try {
      const { code } = await run(python, ['-m', 'pip', '--version'], { quiet: true })
      if (code === 0) return python
    } catch (error) {
      // not on the PATH
      if (!(error instanceof Failure)) throw error
    }
  }
  return null
}

/** Only the wheel, none of what Python itself would need to import it; an index that cannot be reached fails fast. */
async function fetchWheel(python, extra = []) {
  const fresh = `${wheelFolder}.new`
  rmSync(fresh, { recursive: true, force: true })
  mkdirSync(stateFolder, { recursive: true })
  const args = ['-m', 'pip', 'install', '--target', fresh, '--no-deps', '--only-binary=:all:', '--no-compile']
  args.push('--retries', '1', '--timeout', '20', '--disable-pip-version-check', '--quiet', ...extra, wheel)
  const result = await run(python, args, { quiet: true })
  if (result.code === 0) renameSync(fresh, wheelFolder)
  else rmSync(fresh, { recursive: true, force: true })
  return result
}

function lastLine(output) {
  return output.trim().split('\n').at(-1) ?? ''
}

function keyFile() {
  return path.join(linkFolder, 'link-key.txt')
}

function readKey() {
  return existsSync(keyFile()) ? readFileSync(keyFile(), 'utf8') : null
}

/** What the binding and the fused ops are made of; a change links anew. */
function linkKey() {
  const { devDependencies } = JSON.parse(readFileSync(path.join(root, 'packages', 'core', 'package.json'), 'utf8'))
  const sources = readdirSync(nativeSources, { recursive: true })
    .filter((name) => /\.(cc|h)$/.test(name))
    .sort()
    .map((name) => readFileSync(path.join(nativeSources, name), 'utf8'))
  const parts = [...sources, devDependencies['@tensorflow/tfjs-node'], process.platform]
  return createHash('sha256').update(parts.concat(version).join('\0')).digest('hex')
}
