import * as errors from './errors.ts'

/** An error as plain data: structured clone keeps neither the class nor the fields of ours. */
export interface TransferredError {
  readonly name: string
  readonly message: string
  readonly stack: string | null
  readonly fields: Readonly<Record<string, unknown>>
}

export function toTransferredError(error: unknown): TransferredError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), stack: null, fields: {} }
  const fields = errors.OctavoError.isInstance(error)
    ? Object.fromEntries(
        Object.entries({ ...error, ...(error.parts && { parts: error.parts }) }).filter(([key]) => key !== 'name'),
      )
    : {}
  return { name: error.name, message: error.message, stack: error.stack ?? null, fields }
}

/** Gives the error its class back, so that `instanceof` and typed fields work on the other side. */
export function fromTransferredError({ name, message, stack, fields }: TransferredError): Error {
  const known: unknown = Object.entries(errors).find(([exported]) => exported === name)?.[1]
  const prototype = typeof known === 'function' ? (known.prototype as Error) : Error.prototype
  const error = Object.assign(Object.create(prototype) as Error, fields)
  Object.defineProperties(error, {
    name: { value: name, configurable: true, writable: true },
    message: { value: message, configurable: true, writable: true },
    stack: { value: stack ?? `${name}: ${message}`, configurable: true, writable: true },
  })
  return error
}
