/** A module of kind `linear-methods`: something goes wrong on one rank, in the middle of a step, once `file` says what. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import type { CreateLinearMethods, LinearMethod, LoadedLinear } from '@octavo/core/model'

export type Fault = 'throws' | 'exits' | 'loops' | 'dies' | 'stops'

const faults: Readonly<Record<Fault, () => void>> = {
  throws() {
    throw new Error('the cable was pulled')
  },
  /** Of its thread, not of the process. */
  exits: () => process.exit(3),
  loops() {
    for (;;);
  },
  dies: () => process.kill(process.pid, 'SIGKILL'),
  stops: () => process.kill(process.pid, 'SIGSTOP'),
}

export const createLinearMethods: CreateLinearMethods = ({ communicator, linearMethods }, options = {}) => {
  const file = String(options['file'])
  const check = (): void => {
    if (communicator.rank !== options['rank'] || !existsSync(file)) return
    const fault = readFileSync(file, 'utf8') as Fault
    rmSync(file)
    faults[fault]()
  }
  return (module, role) => withCheck(linearMethods(module, role), check)
}

function withCheck(method: LinearMethod, check: () => void): LinearMethod {
  return {
    canMerge: (loader, names) => method.canMerge(loader, names),
    loadEmbedding: (loader, selection) => method.loadEmbedding(loader, selection),
    load: (loader, selection) => checked(method.load(loader, selection), check),
  }
}

/** Before each of its calls. */
function checked(loaded: LoadedLinear, check: () => void): LoadedLinear {
  return new Proxy(loaded, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]): unknown => {
        check()
        return Reflect.apply(value, target, args)
      }
    },
  })
}
