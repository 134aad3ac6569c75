// What vitest's JSON reports say: counts, and the tests that failed.
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { root } from './processes.mjs'

const maxMessageLines = 20

/** A report that is missing, or a test file that could not even be read, is a failure. */
export function readReport(file) {
  if (!existsSync(file)) return { file, results: [], passed: 0, failed: 1, skipped: 0, isMissing: true }
  const report = JSON.parse(readFileSync(file, 'utf8'))
  const results = report.testResults
  return {
    file,
    results,
    passed: report.numPassedTests,
    failed: report.numFailedTests + results.filter(isUnreadable).length,
    skipped: report.numPendingTests + report.numTodoTests,
    isMissing: false,
  }
}

export function failuresOf({ file, results, isMissing }) {
  if (isMissing) return [{ file: relative(file), name: 'missing', message: 'the tests there did not run to their end' }]
  return results.flatMap((result) => {
    const failed = result.assertionResults.filter(({ status }) => status === 'failed')
    const own = isUnreadable(result) ? [{ name: 'could not be run', message: shorten(result.message) }] : []
    const tests = failed.map(({ fullName, failureMessages }) => ({
      name: fullName,
      message: shorten(failureMessages.join('\n')),
    }))
    return [...own, ...tests].map((failure) => ({ file: relative(result.name), ...failure }))
  })
}

function isUnreadable({ status, assertionResults }) {
  return status === 'failed' && !assertionResults.some((result) => result.status === 'failed')
}

function shorten(message = '') {
  return message.split('\n').slice(0, maxMessageLines).join('\n')
}

function relative(file) {
  return path.relative(root, file)
}
