import { AsyncLocalStorage } from 'node:async_hooks'
import type { Caller } from './authenticate.ts'

const acting = new AsyncLocalStorage<Caller>()

/** What `run` asks of this very server, it asks for this caller, without a key: keys are not kept. */
export function actFor<Result>(caller: Caller, run: () => Result): Result {
  return acting.run(caller, run)
}

/** `null`: the request comes from outside. */
export function actingCaller(): Caller | null {
  return acting.getStore() ?? null
}
