import type { OptionTable } from '@octavo/core'

/** Options of the server itself, beside those of its engine. */
export const serveOptionTable = {
  host: { group: 'server', type: { kind: 'text' }, default: '127.0.0.1', doc: 'Address to listen on.' },
  port: {
    group: 'server',
    short: '-p',
    type: { kind: 'integer', min: 0, max: 65_535 },
    default: 8000,
    doc: 'Port to listen on; 0: any free one.',
  },
  apiKey: {
    group: 'server',
    type: { kind: 'names' },
    default: null,
    otherwise: 'none, everyone may call',
    env: 'OCTAVO_API_KEY',
    doc: 'Key that requests must bring; may be repeated.',
  },
  adminApiKey: {
    group: 'server',
    type: { kind: 'text' },
    default: null,
    otherwise: 'none, nobody may call the endpoints for operators',
    env: 'OCTAVO_ADMIN_API_KEY',
    doc: 'Key of the endpoints for operators.',
  },
  shutdownTimeout: {
    group: 'server',
    type: { kind: 'number', min: 0, max: 86_400 },
    default: 30,
    unit: 'seconds',
    doc: 'How long running requests may take to finish at a stop.',
  },
  restart: {
    group: 'server',
    type: { kind: 'boolean' },
    default: true,
    doc: 'Start an engine that failed again, with back-off; off, or after five attempts in a row, the command exits with 70.',
  },
  requestLog: { group: 'server', type: { kind: 'boolean' }, default: true, doc: 'Write a line per request.' },
  trustRequestChatTemplate: {
    group: 'server',
    type: { kind: 'boolean' },
    default: false,
    doc: 'Run the templates that requests bring; a hostile one can keep the server busy.',
  },
} as const satisfies OptionTable
