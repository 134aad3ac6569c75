import { TokenizerError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../util/json-object.ts'

/** Own property only: a key such as `constructor` must not reach the prototype. */
export function property(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

/** `null` where the property is absent or null. */
export function readObject(object: JsonObject, name: string): JsonObject | null {
  const value = property(object, name)
  if (value == null) return null
  return isJsonObject(value) ? value : malformed(name, 'an object', value)
}

export function readArray(object: JsonObject, name: string): readonly unknown[] | null {
  const value = property(object, name)
  if (value == null) return null
  return Array.isArray(value) ? value : malformed(name, 'an array', value)
}

export function readString(object: JsonObject, name: string): string | null {
  const value = property(object, name)
  if (value == null) return null
  return typeof value === 'string' ? value : malformed(name, 'a string', value)
}

export function readBoolean(object: JsonObject, name: string): boolean | null {
  const value = property(object, name)
  if (value == null) return null
  return typeof value === 'boolean' ? value : malformed(name, 'a boolean', value)
}

export function readInteger(object: JsonObject, name: string): number | null {
  const value = property(object, name)
  if (value == null) return null
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : malformed(name, 'an integer', value)
}

export function requireObjects(object: JsonObject, name: string): JsonObject[] {
  return (readArray(object, name) ?? []).map((value) =>
    isJsonObject(value) ? value : malformed(name, 'an array of objects', value),
  )
}

export function malformed(name: string, expected: string, value: unknown): never {
  const found = value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value
  throw new TokenizerError(
    `tokenizer.json: "${name}" must be ${expected}, found ${found}; the file is damaged or of an unknown version.`,
  )
}
