import type { SharedVocabulary } from './shared-vocabulary.ts'
import { specialMark } from './shared-vocabulary.ts'
import type { Tag, TagFormat } from './structural-tag.ts'

/** A tag whose texts name special tokens as the grammar knows them, and which tokens these are. */
export interface MarkedTag {
  readonly tag: TagFormat
  readonly tokenIds: ReadonlySet<number>
}

/** `stopTokenIds`: they come at a grammar's end and nowhere else, so that where they are written text is meant. */
export type MarkSpecialTokens = (tag: TagFormat, stopTokenIds: readonly number[]) => MarkedTag

export function createSpecialMarker(special: SharedVocabulary['special']): MarkSpecialTokens {
  const idOf = new Map(special)
  const texts = special.map(([text]) => text).filter((text) => text !== '')
  if (texts.length === 0) return (tag) => ({ tag, tokenIds: new Set() })
  const longestFirst = texts.sort((a, b) => b.length - a.length)
  const pattern = new RegExp(longestFirst.map((text) => escapePattern(text)).join('|'), 'g')
  return (tag, stopTokenIds) => {
    const tokenIds = new Set<number>()
    const mark = (text: string): string =>
      text.replace(pattern, (token) => {
        const id = idOf.get(token)
        if (id === undefined || stopTokenIds.includes(id)) return token
        tokenIds.add(id)
        return specialMark + token
      })
    return { tag: mapTexts(tag, mark), tokenIds }
  }
}

function mapTexts(format: TagFormat, map: (text: string) => string): TagFormat {
  const all = (formats: readonly TagFormat[]): TagFormat[] => formats.map((each) => mapTexts(each, map))
  switch (format.type) {
    case 'const_string':
      return { ...format, value: map(format.value) }
    case 'sequence':
    case 'or':
      return { ...format, elements: all(format.elements) }
    case 'tag':
      return mapTag(format, map)
    case 'triggered_tags':
      return {
        ...format,
        triggers: format.triggers.map(map),
        tags: format.tags.map((tag) => mapTag(tag, map)),
      }
    case 'tags_with_separator':
      return { ...format, separator: map(format.separator), tags: format.tags.map((tag) => mapTag(tag, map)) }
    default:
      return format
  }
}

function mapTag(tag: Tag, map: (text: string) => string): Tag {
  return { ...tag, begin: map(tag.begin), content: mapTexts(tag.content, map), end: map(tag.end) }
}

function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
}
