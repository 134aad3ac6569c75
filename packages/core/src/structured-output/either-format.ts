import type { TagFormat } from './structural-tag.ts'

/** One of the two. The library takes alternatives only where all of them know their end, or none does. */
export function eitherFormat(one: TagFormat, other: TagFormat): TagFormat {
  const isMixed = isOpenEnded(one) !== isOpenEnded(other)
  const elements = isMixed
    ? [one, other].map((format) => (isOpenEnded(format) ? format : asList(format)))
    : [one, other]
  return { type: 'or', elements }
}

/** What ends where the output ends. */
function isOpenEnded(format: TagFormat): boolean {
  switch (format.type) {
    case 'any_text':
    case 'triggered_tags':
    case 'tags_with_separator':
      return true
    case 'sequence':
      return format.elements.some(isOpenEnded)
    case 'or':
      return format.elements.some(isOpenEnded)
    case 'const_string':
    case 'regex':
    case 'grammar':
    case 'tag':
      return false
  }
}

/** The same as a list that could have more, but has no more. */
function asList(format: TagFormat): TagFormat {
  return {
    type: 'tags_with_separator',
    tags: [{ type: 'tag', begin: '', content: format, end: '' }],
    separator: '\n',
    at_least_one: true,
    stop_after_first: true,
  }
}
