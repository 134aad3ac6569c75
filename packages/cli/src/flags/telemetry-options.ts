import type { OptionTable } from '@octavo/core'

/** What the server tells of itself, and to whom. */
export const telemetryOptionTable = {
  metrics: {
    group: 'telemetry',
    type: { kind: 'choice', choices: ['open', 'key', 'admin', 'off'] },
    default: 'open',
    doc: 'Who may read the metrics at /metrics: everyone, who shows a key, who shows the admin key, or nobody.',
  },
  otlpTracesEndpoint: {
    group: 'telemetry',
    type: { kind: 'text' },
    default: null,
    otherwise: 'no traces',
    doc: 'Where an OpenTelemetry collector takes traces by HTTP, such as http://localhost:4318/v1/traces.',
  },
  logFormat: {
    group: 'telemetry',
    type: { kind: 'choice', choices: ['text', 'json'] },
    default: 'text',
    doc: 'Lines for people, or a JSON object per line.',
  },
  logLevel: {
    group: 'telemetry',
    type: { kind: 'choice', choices: ['info', 'warn', 'error'] },
    default: 'info',
    doc: 'The least important lines that are written.',
  },
} as const satisfies OptionTable
