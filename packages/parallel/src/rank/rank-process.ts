/**
 * Entry point of a rank's own process, which an MPI launcher started for a driver: this thread has the control socket and
 * shows that it lives; another computes, and alone calls MPI.
 */
import { readRankProcessEnv } from '../parallel-env.ts'
import { serveDriver } from './serve-driver.ts'

const { address, rank } = readRankProcessEnv()
await serveDriver(address, rank)
