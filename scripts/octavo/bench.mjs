// `npm run bench -- [NAME] [FLAGS]`: builds what the bench measures and runs bench/NAME.ts.
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { install } from './install.mjs'
import { Failure, root, run } from './processes.mjs'
import { stage } from './stage.mjs'

const folder = path.join(root, 'bench')

const defaultName = 'compare'

export async function bench(args) {
  const [name, flags] =
    args[0] === undefined || args[0].startsWith('-') ? [defaultName, args] : [args[0], args.slice(1)]
  const known = readdirSync(folder).flatMap((entry) => /^([^.]+)[.]ts$/.exec(entry)?.slice(1) ?? [])
  if (!known.includes(name)) throw new Failure(`There is no bench ${name}; known are ${known.join(', ')}.`)
  await install()
  await stage('build', async () => {
    const { code } = await run('turbo', ['run', 'build', '--filter=@octavo/bench^...', '--output-logs=new-only'])
    if (code !== 0) throw new Failure(`The build failed (exit code ${code}); the message is above.`)
  })
  const { code } = await run('node', [path.join(folder, `${name}.ts`), ...flags])
  return code
}
