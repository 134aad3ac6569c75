/**
 * Entry point of a rank's own process, which an MPI launcher started for a driver: this thread has the control socket and
 * shows that it lives; another computes, and alone calls MPI.
 */
import { assert } from '@octavo/core/engine'
import { parseDriverMessage, parseRankEnvironment } from '../rank-environment.ts'
import { type DriverMessage, serveDriver } from './serve-driver.ts'

const place = parseRankEnvironment()
assert(place !== null, 'rank-process must be started by an MPI launcher')
await serveDriver(place.rank, parseDriverMessage() as DriverMessage)
process.exit(0)
