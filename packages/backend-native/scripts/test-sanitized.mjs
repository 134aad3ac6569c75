// The test suite on an addon with AddressSanitizer and UBSan: `node scripts/test-sanitized.mjs [files of vitest]`.
// Linux with g++ or clang++.
import { execFileSync, spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const compiler = process.env.CXX?.trim() || 'g++'

/** The sanitizer must be the first library of the process, which is Node, not ours. */
function runtimeOf(name) {
  return execFileSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).trim()
}

const build = spawnSync(process.execPath, [path.join(root, 'scripts', 'build-native.mjs'), '--sanitize'], {
  stdio: 'inherit',
})
if (build.status !== 0) process.exit(build.status ?? 1)

const vitest = path.join(
  path.dirname(createRequire(path.join(root, '..', '..', 'package.json')).resolve('vitest/package.json')),
  'vitest.mjs',
)
const { status } = spawnSync(process.execPath, [vitest, 'run', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
  env: {
    ...process.env,
    LD_PRELOAD: [runtimeOf('libasan.so'), runtimeOf('libubsan.so'), runtimeOf('libstdc++.so')].join(':'),
    OCTAVO_NATIVE_ADDON: path.join(root, 'build-sanitize', 'octavo_native.node'),
    // V8 keeps what it allocated until the process ends, and has its own handler for SIGSEGV.
    ASAN_OPTIONS: 'detect_leaks=0:allow_user_segv_handler=1:quarantine_size_mb=16',
    UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
  },
})
process.exit(status ?? 1)
