import { describeBatchInvariance } from './batch-invariance.case.ts'

describeBatchInvariance('wasm')
