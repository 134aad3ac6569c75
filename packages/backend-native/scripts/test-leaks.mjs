// The leak test of the addon with ten million calls instead of the suite's 140,000: about a minute.
import { runVitest } from './vitest-run.mjs'

process.exitCode = runVitest('leaks', ['src/leaks.test.ts'], { env: { OCTAVO_LEAK_CALLS: '10000000' } })
