// The vitest suites of this package in a way of their own, with a report that `npm test` counts.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const packageRoot = fileURLToPath(new URL('..', import.meta.url))
export const repositoryRoot = path.join(packageRoot, '..', '..')

function reportFile(report) {
  return path.join(packageRoot, '.vitest', `${report}.json`)
}

/** Runs vitest's `args` with `env` on top of ours; `nodeArgs` are for vitest's own process. Returns its exit code. */
export function runVitest(report, args, { env = {}, nodeArgs = [] } = {}) {
  const folder = path.dirname(createRequire(path.join(repositoryRoot, 'package.json')).resolve('vitest/package.json'))
  rmSync(reportFile(report), { force: true })
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile(report)}`]
  const { status } = spawnSync(
    process.execPath,
    [...nodeArgs, path.join(folder, 'vitest.mjs'), 'run', ...reporters, ...args],
    { cwd: packageRoot, stdio: 'inherit', env: { ...process.env, ...env } },
  )
  return status ?? 1
}

/** 0 also where a run failed before it had a result. */
export function numFailedTests(report) {
  return existsSync(reportFile(report)) ? JSON.parse(readFileSync(reportFile(report), 'utf8')).numFailedTests : 0
}

/** Says why nothing runs, and leaves the report of a run with one skipped test. */
export function skip(reports, reason) {
  console.log(`  skipped: ${reason}`)
  mkdirSync(path.dirname(reportFile('')), { recursive: true })
  for (const report of reports) {
    const counts = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 1, numTodoTests: 0, testResults: [] }
    writeFileSync(reportFile(report), `${JSON.stringify(counts)}\n`)
  }
}

export function buildAddon(...options) {
  const { status } = spawnSync(process.execPath, [path.join(packageRoot, 'scripts', 'build-native.mjs'), ...options], {
    stdio: 'inherit',
  })
  return status === 0
}
