/**
 * Formats as regular expressions of texts that every validator takes (ajv-formats is the one tested against), so each
 * is a part of what its RFC allows. Written for fullmatch.
 */

const month31 = '(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])'
const month30 = '(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)'
const february = '02-(?:0[1-9]|1[0-9]|2[0-8])'
const leapYear = '(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)'
const date = `(?:[0-9]{4}-(?:${month31}|${month30}|${february})|${leapYear}-02-29)`
const clock = '(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?'
const zone = '(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])'
const digits = '[0-9]{1,9}'
const durationDate = `(?:${digits}Y(?:${digits}M(?:${digits}D)?)?|${digits}M(?:${digits}D)?|${digits}D)`
const durationTime = `T(?:${digits}H(?:${digits}M(?:${digits}S)?)?|${digits}M(?:${digits}S)?|${digits}S)`

const octet = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
const group = '[0-9a-fA-F]{1,4}'
const ipv6 = [
  `(?:${group}:){7}${group}`,
  ...[1, 2, 3, 4, 5, 6].map((before) => `(?:${group}:){1,${before}}(?::${group}){1,${7 - before}}`),
  `:(?::${group}){1,7}`,
  `(?:${group}:){1,7}:`,
  '::',
].join('|')

const label = '[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,18}[a-zA-Z0-9])?'
const hostname = `${label}(?:\\.${label}){0,3}`
const atom = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+"
const domain = '(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?\\.)+[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?'
const email = `${atom}(?:\\.${atom})*@${domain}`

const pathCharacter = "(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2})"
const query = `(?:\\?(?:${pathCharacter}|[/?])*)?(?:#(?:${pathCharacter}|[/?])*)?`
const path = `(?:/${pathCharacter}*)*`
const authority = '[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]{1,5})?'
const uri = `[a-zA-Z][a-zA-Z0-9+.-]*:(?://${authority}${path}|${pathCharacter}+${path})${query}`
const uriReference = `(?:${uri}|/(?:${pathCharacter}+${path})?${query}|[a-zA-Z0-9._~-]+${path}${query})`
const url = `https?://(?:[a-zA-Z0-9]+\\.)+[a-zA-Z]{2,10}(?::[0-9]{2,5})?${path.replaceAll("'", '')}`
const uriTemplate = '(?:[a-zA-Z0-9._~/:?#&=-]|\\{[a-zA-Z0-9_]+\\})*'
const jsonPointer = '(?:/(?:[^~/]|~[01])*)*'
const base64 = '(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?'

export const stringFormats: ReadonlyMap<string, string> = new Map([
  ['date', date],
  ['time', `${clock}${zone}`],
  ['date-time', `${date}T${clock}${zone}`],
  ['iso-time', `${clock}${zone}`],
  ['iso-date-time', `${date}T${clock}${zone}`],
  ['duration', `P(?:${durationDate}(?:${durationTime})?|${durationTime}|${digits}W)`],
  ['email', email],
  ['idn-email', email],
  ['hostname', hostname],
  ['idn-hostname', hostname],
  ['ipv4', `${octet}(?:\\.${octet}){3}`],
  ['ipv6', `(?:${ipv6})`],
  ['uri', uri],
  ['iri', uri],
  ['url', url],
  ['uri-reference', uriReference],
  ['iri-reference', uriReference],
  ['uri-template', uriTemplate],
  ['uuid', '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}'],
  ['json-pointer', jsonPointer],
  ['relative-json-pointer', `(?:0|[1-9][0-9]{0,8})(?:#|${jsonPointer})`],
  ['json-pointer-uri-fragment', "#(?:/(?:[a-zA-Z0-9_.!$&'()*+,;:=@-]|%[0-9a-fA-F]{2}|~0|~1)*)*"],
  ['byte', base64],
  ['base64', base64],
  ['base64url', '(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?'],
])

/** OpenAPI's, for numbers: the range, or null for any. */
export const numberFormats: ReadonlyMap<string, readonly [min: number, max: number] | null> = new Map([
  ['int32', [-(2 ** 31), 2 ** 31 - 1]],
  ['int64', [-(2 ** 53) + 1, 2 ** 53 - 1]],
  ['float', null],
  ['double', null],
])

/** Formats that say nothing about the text. */
export const freeFormats: ReadonlySet<string> = new Set(['password', 'binary'])
