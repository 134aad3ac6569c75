import { flagOf, foreignOptionRemedy } from '@octavo/core'

/** Flags of `vllm serve` that are no engine options here. */
const remedies: Readonly<Record<string, string>> = {
  '--model': 'the model is the first argument: octavo serve MODEL',
  '--tensor-parallel-size': '--tp says it',
  '-tp': '--tp says it',
  '--pipeline-parallel-size': '--pp says it',
  '--enable-expert-parallel': '--ep says it, with the number of ranks',
  '-ep': '--ep says it, with the number of ranks',
  '--distributed-executor-backend': '--executor says it: threads or mpi',
  '--disable-log-requests': '--no-request-log says it',
  '--enable-log-requests': 'requests are logged unless --no-request-log is given; leave it out',
  '--ssl-cert-reqs': '--ssl-ca-certs asks clients for certificates of these authorities',
  '--enable-ssl-refresh': 'files of keys and certificates are read again when they change; leave it out',
  '--h11-max-incomplete-event-size': '--max-header-bytes says it for the headers of a request',
  '--disable-uvicorn-access-log': '--no-request-log says it',
  '--uvicorn-log-level': '--log-level says it',
  '--disable-log-stats': '--metrics off says it; no line of figures is logged',
  '--collect-detailed-traces': 'each span has the times of queue, prefill and decode; leave it out',
  '--show-hidden-metrics-for-version': 'older names are exported too; leave it out',
}

/** What commander says of a flag that it does not know, with the remedy where the flag is vLLM's. */
export function explainUnknownFlag(message: string): string {
  const [line = '', flag = ''] = /^error: unknown option '([^'=]+).*'/.exec(message) ?? []
  const remedy = foreignFlagRemedy(flag)
  return remedy === null ? message : `${line}; ${remedy}\n`
}

/** What to say instead of a flag of vLLM's; `null` for any other. */
export function foreignFlagRemedy(flag: string): string | null {
  const camelCase = flag.replace(/^--(no-)?/, '').replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase())
  return remedies[flag] ?? foreignOptionRemedy(camelCase, flagOf)
}
