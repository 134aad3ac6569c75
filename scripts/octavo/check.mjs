// `npm test`: every check of the repository, with a count at the end that .ci/run repeats. With CI=true, as there, the
// C++ kernels' suites run twice more, and their leak test for longer, unless nothing of the addon has changed since they passed.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { install } from './install.mjs'
import { machineKey } from './machine-key.mjs'
import { buildNative } from './native.mjs'
import { root, stateFolder } from './processes.mjs'
import { stage } from './stage.mjs'
import { prepareTensorflow } from './tensorflow.mjs'
import { failuresOf, readReport } from './test-reports.mjs'
import { runTasks, showLog } from './turbo.mjs'

const checks = ['check:format', 'check:lint', 'check:imports', 'check:unused', 'typecheck', 'check:package']

/** Minutes each: only where CI is set. Tasks of the addon's package, with the reports that they leave. */
const nativeChecks = {
  'test:leaks': ['leaks'],
  'test:sanitized': ['sanitized'],
  'test:neon': ['neon-dotprod', 'neon-plain'],
}
const nativeFolder = path.join('packages', 'backend-native')
const isCi = process.env.CI === 'true'

/** Where CI keeps what passed: a checkout of its own lives for one run only. */
const ciCacheFolder = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'octavo', 'turbo')

export async function test() {
  await install()
  process.env.OCTAVO_MACHINE = machineKey()
  for (const file of reportFiles()) rmSync(file, { force: true })
  await stage('C++ kernels', buildNative)
  const results = await runStage('build', ['build'])
  if (hasFailed(results)) return summarize(results, { wereTestsRun: false })
  // Linking is one process that waits for a compiler most of the time.
  const [checked] = await Promise.all([
    runStage('format, lint, imports, unused code, types, package contents', checks),
    stage('TensorFlow', prepareTensorflow),
  ])
  results.push(...checked, ...(await runStage('tests', ['test'])))
  if (isCi) results.push(...(await runNativeChecks()))
  return summarize(results, { wereTestsRun: true })
}

function runNativeChecks() {
  const name = 'C++ kernels: ten million calls, under sanitizers, on an emulated arm64 CPU'
  const filter = '@octavo/backend-native'
  return runStage(name, Object.keys(nativeChecks), { filter, cacheFolder: ciCacheFolder })
}

/** Returns the tasks that ran; turbo's own failure counts as one of them. */
function runStage(name, tasks, options) {
  return stage(name, async () => {
    const { code, results } = await runTasks(tasks, options)
    const unchanged = results.filter(({ isCached }) => isCached)
    if (unchanged.length > 0) console.log(`  ${unchanged.length} of ${results.length} unchanged since they passed`)
    const hasOwnFailure = code !== 0 && !hasFailed(results)
    return hasOwnFailure ? [...results, { id: name, task: 'turbo', hasPassed: false, isCached: false }] : results
  })
}

function hasFailed(results) {
  return results.some(({ hasPassed }) => !hasPassed)
}

function isTest({ task }) {
  return task === 'test' || task in nativeChecks
}

function summarize(results, { wereTestsRun }) {
  const failed = results.filter(({ hasPassed }) => !hasPassed)
  const reports = wereTestsRun ? reportFiles().map(readReport) : []
  const counts = { passed: 0, failed: 0, skipped: 0 }
  for (const report of reports) for (const key of Object.keys(counts)) counts[key] += report[key]
  for (const result of failed.filter((result) => !isTest(result))) {
    // A failing check that is no test counts as one failure, so that the counts agree with the exit code.
    counts.failed++
    if (result.logFile !== undefined) showLog(result)
  }
  const failures = reports.flatMap(failuresOf)
  for (const { file, name, message } of failures) console.error(`\n── ${file}: ${name}\n${message}`)
  if (failed.length > 0 && failures.length === 0) failed.filter(isTest).forEach(showLog)
  if (counts.failed === 0 && failed.length > 0) counts.failed = 1
  if (failed.length > 0) console.error(`\nFailed: ${failed.map(({ id }) => id).join('; ')}`)
  return finish(counts)
}

function finish({ passed, failed, skipped }) {
  const line = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
  mkdirSync(stateFolder, { recursive: true })
  writeFileSync(path.join(stateFolder, 'test-summary.txt'), `${line}\n`)
  console.log(`\n${line}`)
  return failed === 0 ? 0 : 1
}

function reportFiles() {
  const nativeReports = isCi ? Object.values(nativeChecks).flat() : []
  return [
    ...testedFolders().map((folder) => path.join(folder, '.vitest', 'report.json')),
    ...nativeReports.map((report) => path.join(root, nativeFolder, '.vitest', `${report}.json`)),
  ]
}

function testedFolders() {
  const groups = ['packages', 'examples'].flatMap((group) =>
    readdirSync(path.join(root, group)).map((name) => path.join(group, name)),
  )
  return [...groups, 'tests', 'bench']
    .map((folder) => path.join(root, folder))
    .filter((folder) => {
      const file = path.join(folder, 'package.json')
      return existsSync(file) && 'test' in (JSON.parse(readFileSync(file, 'utf8')).scripts ?? {})
    })
}
