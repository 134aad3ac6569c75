import { nearestName } from '@octavo/core'
import { currentVariables, type Variables } from './variables.ts'

/** Those of docs/environment.md that are no options. */
export const otherVariables = [
  'OCTAVO_NATIVE_ADDON',
  'OCTAVO_PACKING',
  'OCTAVO_RANK_DRIVER',
  'OCTAVO_TENSORFLOW',
  'OCTAVO_TENSORFLOW_ISA',
] as const

/** What to say of variables that look like options and are none: a misspelt one would be missed without a word. */
export function describeUnknownVariables(known: readonly string[], env: Variables = currentVariables()): string[] {
  const names: readonly string[] = [...known, ...otherVariables]
  return Object.keys(env)
    .filter((name) => name.startsWith('OCTAVO_') && !names.includes(name) && !isOfService(name))
    .map(
      (name) => `the environment has ${name}, which is no option; the nearest is ${nearestName(name, names) ?? 'none'}`,
    )
}

/** What Kubernetes sets for a service that is named octavo. */
function isOfService(name: string): boolean {
  return /_SERVICE_(HOST|PORT)|_PORT(_\d+_(TCP|UDP|SCTP).*)?$/.test(name)
}
