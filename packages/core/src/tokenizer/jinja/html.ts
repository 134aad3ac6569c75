import { spaceClass } from './text.ts'

const htmlEscapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&#34;',
  "'": '&#39;',
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => htmlEscapes[char]!)
}

/** `striptags`: the text between tags and comments, its white space single. */
export function stripTags(text: string): string {
  const bare = stripBetween(stripBetween(text, '<!--', '-->'), '<', '>')
  const words = bare.split(new RegExp(`[${spaceClass}]+`))
  return unescapeHtml(words.filter((word) => word !== '').join(' '))
}

function stripBetween(text: string, open: string, close: string): string {
  let out = ''
  let position = 0
  for (let start = text.indexOf(open); start !== -1; start = text.indexOf(open, position)) {
    const end = text.indexOf(close, start)
    if (end === -1) break
    out += text.slice(position, start)
    position = end + close.length
  }
  return out + text.slice(position)
}

/** Those of U+00A0 to U+00FF, in order. Like the few below they count without a semicolon too. */
const latinNames =
  'nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml'
const legacy: ReadonlyMap<string, string> = new Map([
  ...latinNames.split(' ').map((name, index) => [name, String.fromCharCode(0xa0 + index)] as const),
  ['amp', '&'],
  ['AMP', '&'],
  ['lt', '<'],
  ['LT', '<'],
  ['gt', '>'],
  ['GT', '>'],
  ['quot', '"'],
  ['QUOT', '"'],
  ['COPY', '©'],
  ['REG', '®'],
])
const others: ReadonlyMap<string, string> = new Map([
  ['apos', "'"],
  ['ndash', '–'],
  ['mdash', '—'],
  ['lsquo', '‘'],
  ['rsquo', '’'],
  ['ldquo', '“'],
  ['rdquo', '”'],
  ['bull', '•'],
  ['hellip', '…'],
  ['euro', '€'],
  ['trade', '™'],
  ['larr', '←'],
  ['rarr', '→'],
  ['infin', '∞'],
  ['le', '≤'],
  ['ge', '≥'],
  ['ne', '≠'],
])
const windows1252 = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ'
const reference = /&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/g

/** Python's `html.unescape`, for the names of Latin-1 and a few more; others stay as they are. */
export function unescapeHtml(text: string): string {
  return text.replace(reference, (whole, body: string) =>
    body.startsWith('#') ? charOf(body) : (namedChar(body) ?? whole),
  )
}

function charOf(body: string): string {
  const isHex = body[1] === 'x' || body[1] === 'X'
  const code = Number.parseInt(body.slice(isHex ? 2 : 1), isHex ? 16 : 10)
  if (code >= 0x80 && code <= 0x9f) return windows1252[code - 0x80]!
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return '\ufffd'
  return isNoCharacter(code) ? '' : String.fromCodePoint(code)
}

function isNoCharacter(code: number): boolean {
  const isControl = (code < 0x20 && ![9, 10, 12, 13].includes(code)) || code === 0x7f
  return isControl || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe
}

function namedChar(body: string): string | undefined {
  const name = body.endsWith(';') ? body.slice(0, -1) : body
  const char = legacy.get(name) ?? (name === body ? undefined : others.get(name))
  if (char !== undefined) return char
  for (let length = body.length - 1; length > 1; length--) {
    const known = legacy.get(body.slice(0, length))
    if (known !== undefined) return known + body.slice(length)
  }
  return undefined
}
