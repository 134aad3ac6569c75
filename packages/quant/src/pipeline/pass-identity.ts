import { createHash } from 'node:crypto'
import type { LayerPass } from '../decoder-layer.ts'

/** For messages: 'gptq', or the function's own name. */
export function passName(pass: LayerPass): string {
  const { identity } = pass
  if (typeof identity === 'object' && identity !== null && 'name' in identity && typeof identity.name === 'string')
    return `the pass ${identity.name}`
  return pass.name === '' ? 'a pass' : `the pass ${pass.name}`
}

/** What tells a pass from another. */
export function passIdentity(pass: LayerPass): unknown {
  return pass.identity ?? { source: createHash('sha256').update(pass.toString()).digest('hex') }
}
