// Puts `octavo` into node_modules/.bin, so that `npx octavo` and `pnpm octavo` run this repository's CLI on its own Node.
// (A workspace dependency of the root would do the same, but npm refuses to install a project that has one.)
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const folder = path.join(root, 'node_modules', '.bin')
const file = path.join(folder, 'octavo')

if (existsSync(path.join(root, 'packages', 'cli'))) {
  mkdirSync(folder, { recursive: true })
  rmSync(file, { force: true })
  // exec, not a child: signals and the exit code are the program's own.
  writeFileSync(
    file,
    `#!/bin/sh
here=$(dirname "$(readlink -f "$0" 2>/dev/null || echo "$0")")
if [ -x "$here/node" ]; then exec "$here/node" "$here/../../packages/cli/bin/octavo.js" "$@"; fi
exec node "$here/../../packages/cli/bin/octavo.js" "$@"
`,
  )
  chmodSync(file, 0o755)
  writeFileSync(`${file}.cmd`, '@"%~dp0..\\node\\bin\\node.exe" "%~dp0..\\..\\packages\\cli\\bin\\octavo.js" %*\r\n')
}
