import { readFileSync, type Stats, statSync } from 'node:fs'
import { CheckpointError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../util/json-object.ts'
import { messageOf } from '../util/message-of.ts'
import { isLfsPointer, lfsPointerReason } from './git-lfs-pointer.ts'

/** Reads a text file of at most `maxBytes`; `null` where there is none. Throws CheckpointError where it can't be read. */
export function readTextFile(file: string, maxBytes: number): string | null {
  const stat = statFile(file)
  if (stat === null) return null
  if (!stat.isFile()) throw new CheckpointError(file, 'is not a regular file')
  if (stat.size > maxBytes)
    throw new CheckpointError(file, `has ${stat.size} bytes; the limit for this file is ${maxBytes}`)
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new CheckpointError(file, `can't be read (${messageOf(error)})`, {
      cause: error,
    })
  }
}

function statFile(file: string): Stats | null {
  try {
    return statSync(file, { throwIfNoEntry: false }) ?? null
  } catch (error) {
    throw new CheckpointError(file, `can't be looked at (${messageOf(error)})`, { cause: error })
  }
}

/** Reads a JSON object; `null` where the file is absent. Throws CheckpointError for anything but an object of at most `maxBytes`. */
export function readJsonFile(file: string, maxBytes: number): JsonObject | null {
  const text = readTextFile(file, maxBytes)
  return text === null ? null : parseJsonObject(text, file)
}

export function parseJsonObject(text: string, file: string): JsonObject {
  const value = parseJson(text, file)
  if (!isJsonObject(value)) throw new CheckpointError(file, 'must hold a JSON object')
  return value
}

export function parseJson(text: string, file: string): unknown {
  if (isLfsPointer(text)) throw new CheckpointError(file, lfsPointerReason)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CheckpointError(file, `is not valid JSON (${messageOf(error)})`, {
      cause: error,
    })
  }
}

/**
 * The first key that an object anywhere in `json` has twice, or `null`. `JSON.parse` keeps the last one silently, so two readers
 * of one hostile file could see different things. `json` must have been parsed successfully before.
 */
export function findDuplicateKey(json: string): string | null {
  const keysOfOpen: (Set<string> | null)[] = [] // null for arrays
  let isKeyNext = false
  for (let i = 0; i < json.length; i++) {
    const char = json[i]
    if (char === '{') {
      keysOfOpen.push(new Set())
      isKeyNext = true
    } else if (char === '[') {
      keysOfOpen.push(null)
      isKeyNext = false
    } else if (char === '}' || char === ']') {
      keysOfOpen.pop()
      isKeyNext = false
    } else if (char === ',') {
      isKeyNext = keysOfOpen.at(-1) instanceof Set
    } else if (char === '"') {
      const end = endOfString(json, i)
      const keys = keysOfOpen.at(-1)
      if (isKeyNext && keys instanceof Set) {
        const key: unknown = JSON.parse(json.slice(i, end + 1))
        if (typeof key === 'string' && keys.has(key)) return key
        keys.add(String(key))
        isKeyNext = false
      }
      i = end
    }
  }
  return null
}

function endOfString(json: string, start: number): number {
  let i = start + 1
  while (i < json.length && json[i] !== '"') i += json[i] === '\\' ? 2 : 1
  return i
}
