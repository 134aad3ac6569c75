import { fileURLToPath } from 'node:url'
import { describeBatchInvariance } from './batch-invariance.case.ts'

describeBatchInvariance('cpu', { fixtures: fileURLToPath(new URL('../../../../fixtures/', import.meta.url)) })
