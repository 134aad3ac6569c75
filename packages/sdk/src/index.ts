export { OctavoApiError } from './octavo-api-error.ts'
export { OctavoClient } from './octavo-client.ts'
export type {
  CallOptions,
  Endpoint,
  InJson,
  OctavoClientOptions,
  ResponsesEndpoint,
  WithoutStream,
  WithStream,
} from './octavo-client.ts'
export { OctavoConnectionError } from './octavo-connection-error.ts'
