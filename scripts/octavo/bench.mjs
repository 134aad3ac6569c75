// `npm run bench -- NAME`: builds what the bench measures and runs bench/NAME.ts.
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { install } from './install.mjs'
import { Failure, root, run } from './processes.mjs'
import { stage } from './stage.mjs'

const folder = path.join(root, 'bench')

export async function bench([name, ...args]) {
  const file = path.join(folder, `${name}.ts`)
  if (name === undefined || path.dirname(file) !== folder || !existsSync(file)) {
    const known = readdirSync(folder).filter((entry) => entry.endsWith('.ts'))
    throw new Failure(`Name a bench: ${known.map((entry) => entry.slice(0, -3)).join(', ')}.`)
  }
  await install()
  await stage('build', async () => {
    const { code } = await run('turbo', ['run', 'build', '--filter=@octavo/bench^...', '--output-logs=new-only'])
    if (code !== 0) throw new Failure(`The build failed (exit code ${code}); the message is above.`)
  })
  const { code } = await run('node', [file, ...args])
  return code
}
