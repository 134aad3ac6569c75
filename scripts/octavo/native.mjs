// The C++ addon ahead of turbo's build, which would say nothing for the minute that it takes the first time.
import path from 'node:path'
import { Failure, root, run } from './processes.mjs'

export async function buildNative() {
  const { code } = await run('node', [path.join(root, 'packages', 'backend-native', 'scripts', 'build-native.mjs')])
  if (code !== 0) throw new Failure('The C++ kernels do not compile; the message is above.')
}
