// Turbo's tasks, one line each; what a failed one printed is shown when all have ended.
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { root, run } from './processes.mjs'

/** Lines of a failed task's log that are shown; the log itself is named. */
const numShownLines = 60

/**
 * Runs tasks and what they depend on, replaying what nothing has changed for. `cacheFolder`: where results are kept, when
 * not beside the checkout. Returns each task: `{ id, task, folder, logFile, hasPassed, isCached }`.
 */
export async function runTasks(tasks, { filter = null, cacheFolder = null } = {}) {
  const args = ['run', ...tasks, '--continue=dependencies-successful', '--output-logs=hash-only', '--summarize']
  if (filter !== null) args.push(`--filter=${filter}`)
  const { code, output } = await run('turbo', args, {
    quiet: true,
    onLine: printTask,
    env: cacheFolder === null ? {} : { TURBO_CACHE_DIR: cacheFolder },
  })
  const results = readSummary(output)
  // Without a summary, turbo itself could not run.
  if (results === null || (code !== 0 && results.every(({ hasPassed }) => hasPassed))) {
    process.stderr.write(output)
    return { code: code === 0 ? 1 : code, results: results ?? [] }
  }
  return { code, results }
}

/** The end of what a failed task printed. */
export function showLog({ id, logFile }) {
  const file = path.join(root, logFile)
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : ['it left no log']
  console.error(`\n── ${id} failed; its whole log: ${logFile}`)
  if (lines.length > numShownLines) console.error(`   … ${lines.length - numShownLines} lines before these`)
  console.error(lines.slice(-numShownLines).join('\n'))
}

/** Of `@octavo/core:test: cache miss, executing 0123`. */
function printTask(line) {
  const [, id, how] = /^(\S+): cache (hit|miss|bypass)/.exec(stripVTControlCharacters(line)) ?? []
  if (id !== undefined) console.log(`  ${id.replace('//:', '')}${how === 'hit' ? ' (unchanged)' : ''}`)
}

function readSummary(output) {
  const [, file] = /Summary:\s+(\S+\.json)/.exec(stripVTControlCharacters(output)) ?? []
  if (file === undefined || !existsSync(file)) return null
  const { tasks } = JSON.parse(readFileSync(file, 'utf8'))
  return tasks
    .filter(({ execution }) => execution !== undefined && execution !== null)
    .map(({ taskId, task, directory, logFile, execution, cache }) => ({
      id: taskId.replace('//#', '').replace('#', ':'),
      task,
      folder: directory,
      logFile,
      hasPassed: execution.exitCode === 0,
      isCached: cache.status === 'HIT',
    }))
}
