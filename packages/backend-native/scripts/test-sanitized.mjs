// The suites of ops, memory and threads on an addon with AddressSanitizer and UBSan: `node scripts/test-sanitized.mjs [files of vitest]`.
// Linux with g++ or clang++ and the sanitizers' libraries; elsewhere it says so and succeeds.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { buildAddon, packageRoot, runVitest, skip } from './vitest-run.mjs'

/** What reaches every kernel, and whatever holds memory; models and their golden data call the same kernels again. */
const suites = [
  ...['argmax-rows', 'deferred-weights', 'int8-activations', 'kernels/', 'linear-', 'mat-mul', 'native-addon'],
  ...['native-engine', 'ops', 'sampling', 'stored-rows', 'worker-exit'],
]

const compiler = process.env.CXX?.trim() || 'g++'
const libraries = ['libasan.so', 'libubsan.so', 'libstdc++.so']

/** A library's file; null where the compiler has none: it then repeats the name. */
function fileOf(library) {
  const { status, stdout } = spawnSync(compiler, [`-print-file-name=${library}`], { encoding: 'utf8' })
  return status === 0 && path.isAbsolute(stdout.trim()) ? stdout.trim() : null
}

function main() {
  if (process.platform !== 'linux') return skip(['sanitized'], 'the sanitized build needs Linux')
  const missing = libraries.filter((library) => fileOf(library) === null)
  if (missing.length > 0) return skip(['sanitized'], `${compiler} is not there or lacks ${missing.join(', ')}`)
  if (!buildAddon('--sanitize')) return (process.exitCode = 1)
  const asked = process.argv.slice(2)
  const files = asked.length > 0 ? asked : suites.map((suite) => `src/${suite}`)
  process.exitCode = runVitest('sanitized', ['--maxWorkers=2', ...files], {
    env: {
      // The sanitizer must be the first library of the process, which is Node, not ours.
      LD_PRELOAD: libraries.map(fileOf).join(':'),
      OCTAVO_NATIVE_ADDON: path.join(packageRoot, 'build-sanitize', 'octavo_native.node'),
      // V8 keeps what it allocated until the process ends, and has its own handler for SIGSEGV.
      ASAN_OPTIONS: 'detect_leaks=0:allow_user_segv_handler=1:quarantine_size_mb=16',
      UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
    },
  })
}

main()
