/**
 * What a body may consist of. `JSON.parse` cannot be interrupted, and what it costs is the number of its parts, not of its
 * bytes: within these limits it, and the code that walks over its result, holds up other requests for less than 0.1 s.
 */
export const jsonLimits = {
  depth: 200,
  objectsAndArrays: 65_536,
  keys: 65_536,
  strings: 131_072,
  values: 1_048_576,
} as const

export const partNames = {
  depth: 'levels of nesting',
  objectsAndArrays: 'objects and arrays',
  keys: 'keys',
  strings: 'strings, keys included',
  values: 'values',
} as const
