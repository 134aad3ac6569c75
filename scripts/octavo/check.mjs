// `npm test`: every check of the repository, with a count at the end that .ci/run repeats. With CI=true, as there, the
// C++ kernels' suites run twice more, and their leak test for longer.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { install } from './install.mjs'
import { root, run, stateFolder } from './processes.mjs'
import { stage } from './stage.mjs'
import { prepareTensorflow } from './tensorflow.mjs'

/** Each is one call of turbo, which runs what changed and replays the rest. */
const stages = [
  { name: 'build', tasks: ['build'], mustPass: true },
  {
    name: 'format, lint, imports, unused code',
    tasks: ['check:format', 'check:lint', 'check:imports', 'check:unused'],
  },
  { name: 'types', tasks: ['typecheck'] },
  { name: 'package contents', tasks: ['check:package'] },
  { name: 'tests', tasks: ['test'], hasTests: true },
]

const nativeFolder = path.join(root, 'packages', 'backend-native')

/** Minutes each: only where CI is set. Each is a program that leaves reports, also where it can only say why it skips. */
const ciStages = [
  { name: 'ten million calls of C++ kernels', program: 'test-leaks.mjs', reports: ['leaks'] },
  { name: 'C++ kernels under sanitizers', program: 'test-sanitized.mjs', reports: ['sanitized'] },
  { name: 'C++ kernels on an emulated arm64 CPU', program: 'test-neon.mjs', reports: ['neon-dotprod', 'neon-plain'] },
]
const isCi = process.env.CI === 'true'

export async function test() {
  await install()
  for (const file of reportFiles()) rmSync(file, { force: true })
  const failed = []
  for (const { name, tasks, mustPass = false } of stages) {
    const args = ['run', ...tasks, '--continue=dependencies-successful', '--output-logs=new-only']
    if (!(await passes(name, 'turbo', args))) {
      failed.push(name)
      if (mustPass) return summarize(failed)
    }
    if (name === 'build') await stage('TensorFlow', prepareTensorflow)
  }
  for (const { name, program } of isCi ? ciStages : []) {
    if (!(await passes(name, 'node', [path.join(nativeFolder, 'scripts', program)]))) failed.push(name)
  }
  return summarize(failed)
}

function passes(name, command, args) {
  return stage(name, async () => {
    const { code } = await run(command, args)
    if (code !== 0) console.error(`  ${name}: FAILED`)
    return code === 0
  })
}

function summarize(failedStages) {
  const hasTests = (name) =>
    ciStages.some((known) => known.name === name) ||
    stages.some((known) => known.name === name && known.hasTests === true)
  const wereTestsRun = !failedStages.some((name) => stages.find((known) => known.name === name)?.mustPass)
  const counts = wereTestsRun ? countTests() : { passed: 0, failed: 0, skipped: 0 }
  // A failing check that is no test counts as one failure, so that the counts agree with the exit code.
  const failedChecks = failedStages.filter((name) => !hasTests(name))
  let failed = counts.failed + failedChecks.length
  if (failed === 0 && failedStages.length > 0) failed = 1
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
  const line = `${counts.passed} passed, ${failed} failed${skipped}`
  if (failedStages.length > 0) console.error(`\nFailed: ${failedStages.join('; ')}`)
  mkdirSync(stateFolder, { recursive: true })
  writeFileSync(path.join(stateFolder, 'test-summary.txt'), `${line}\n`)
  console.log(`\n${line}`)
  return failed === 0 ? 0 : 1
}

/** Sums vitest's reports; a package without one, or a test file that could not even be read, is a failure. */
function countTests() {
  const sum = { passed: 0, failed: 0, skipped: 0 }
  for (const file of reportFiles()) {
    if (!existsSync(file)) {
      console.error(`  ${path.relative(root, file)} is missing: the tests there did not run to their end.`)
      sum.failed++
      continue
    }
    const report = JSON.parse(readFileSync(file, 'utf8'))
    sum.passed += report.numPassedTests
    sum.failed += report.numFailedTests
    sum.skipped += report.numPendingTests + report.numTodoTests
    sum.failed += report.testResults.filter(
      ({ status, assertionResults }) =>
        status === 'failed' && !assertionResults.some((result) => result.status === 'failed'),
    ).length
  }
  return sum
}

function reportFiles() {
  const ciReports = isCi ? ciStages.flatMap(({ reports }) => reports) : []
  return [
    ...testedFolders().map((folder) => path.join(folder, '.vitest', 'report.json')),
    ...ciReports.map((report) => path.join(nativeFolder, '.vitest', `${report}.json`)),
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
