import * as errors from './errors.ts'

/** An error as plain data: structured clone keeps neither the class nor the fields of ours. */
export interface TransferredError {
  readonly name: string
  readonly message: string
  readonly stack: string | null
  readonly fields: Readonly<Record<string, unknown>>
  readonly cause?: TransferredError
}

/** Causes of causes are kept so far down: one may be its own. */
const maxCauses = 8

export function toTransferredError(error: unknown, numCauses = maxCauses): TransferredError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), stack: null, fields: {} }
  const fields = errors.OctavoError.isInstance(error)
    ? Object.fromEntries(
        Object.entries({ ...error, ...(error.parts && { parts: error.parts }) }).filter(([key]) => key !== 'name'),
      )
    : {}
  const { name, message, stack = null } = error
  const hasCause = error.cause !== undefined && numCauses > 0
  return { name, message, stack, fields, ...(hasCause && { cause: toTransferredError(error.cause, numCauses - 1) }) }
}

/** Gives the error its class back, so that `instanceof` and typed fields work on the other side. */
export function fromTransferredError({ name, message, stack, fields, cause }: TransferredError): Error {
  const known: unknown = Object.entries(errors).find(([exported]) => exported === name)?.[1]
  // Another package's class is not known here; what such errors have in common is.
  const base = 'code' in fields ? errors.OctavoError.prototype : Error.prototype
  const prototype = typeof known === 'function' ? (known.prototype as Error) : base
  const error = Object.assign(Object.create(prototype) as Error, fields)
  Object.defineProperties(error, {
    name: { value: name, configurable: true, writable: true },
    message: { value: message, configurable: true, writable: true },
    stack: { value: stack ?? `${name}: ${message}`, configurable: true, writable: true },
    ...(cause && { cause: { value: fromTransferredError(cause), configurable: true, writable: true } }),
  })
  return error
}
