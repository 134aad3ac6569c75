import { describe, expect, it } from 'vitest'
import { parseRankEnvironment } from './rank-environment.ts'

const unknown = { localRank: null, localSize: null, masterAddress: null, masterPort: null }

describe('parseRankEnvironment', () => {
  it('is null where no launcher says anything', () => {
    expect(parseRankEnvironment({})).toBeNull()
    expect(parseRankEnvironment({ RANK: '', WORLD_SIZE: '' })).toBeNull()
  })

  it.each([
    [
      {
        RANK: '3',
        WORLD_SIZE: '4',
        LOCAL_RANK: '1',
        LOCAL_WORLD_SIZE: '2',
        MASTER_ADDR: '10.0.0.1',
        MASTER_PORT: '29500',
      },
      {
        source: 'torchrun',
        rank: 3,
        worldSize: 4,
        localRank: 1,
        localSize: 2,
        masterAddress: '10.0.0.1',
        masterPort: 29500,
      },
    ],
    [
      {
        OMPI_COMM_WORLD_RANK: '0',
        OMPI_COMM_WORLD_SIZE: '2',
        OMPI_COMM_WORLD_LOCAL_RANK: '0',
        OMPI_COMM_WORLD_LOCAL_SIZE: '1',
      },
      { ...unknown, source: 'openmpi', rank: 0, worldSize: 2, localRank: 0, localSize: 1 },
    ],
    [
      { PMI_RANK: '1', PMI_SIZE: '2' },
      { ...unknown, source: 'pmi', rank: 1, worldSize: 2 },
    ],
    [
      { PMI_RANK: '1', PMI_SIZE: '2', MPI_LOCALRANKID: '0', MPI_LOCALNRANKS: '1' },
      { ...unknown, source: 'pmi', rank: 1, worldSize: 2, localRank: 0, localSize: 1 },
    ],
    [
      { SLURM_PROCID: '5', SLURM_STEP_NUM_TASKS: '8', SLURM_LOCALID: '1', SLURM_LAUNCH_NODE_IPADDR: '10.1.1.1' },
      { ...unknown, source: 'slurm', rank: 5, worldSize: 8, localRank: 1, masterAddress: '10.1.1.1' },
    ],
    [
      { LWS_WORKER_INDEX: '1', LWS_GROUP_SIZE: '2', LWS_LEADER_ADDRESS: 'model-0.model' },
      { ...unknown, source: 'lws', rank: 1, worldSize: 2, masterAddress: 'model-0.model' },
    ],
  ])('%o', (env, expected) => {
    expect(parseRankEnvironment(env)).toEqual(expected)
  })

  it('takes the nearer launcher: mpirun in a pod of a group, or in a step of a job', () => {
    const outer = { LWS_WORKER_INDEX: '0', LWS_GROUP_SIZE: '2', SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '2' }
    const inner = { OMPI_COMM_WORLD_RANK: '3', OMPI_COMM_WORLD_SIZE: '4' }
    expect(parseRankEnvironment({ ...outer, ...inner })).toMatchObject({ source: 'openmpi', rank: 3 })
  })

  it("is null in a batch script of Slurm's, which is no rank", () => {
    expect(parseRankEnvironment({ SLURM_PROCID: '0', SLURM_NTASKS: '4' })).toBeNull()
  })

  it.each([
    [{ RANK: 'one', WORLD_SIZE: '2' }, 'RANK: is "one"'],
    [{ RANK: '2', WORLD_SIZE: '2' }, 'RANK: is 2, but WORLD_SIZE is 2: ranks go from 0 to 1.'],
    [{ RANK: '-1', WORLD_SIZE: '2' }, 'RANK: is "-1"'],
    [{ RANK: '0', WORLD_SIZE: '0' }, 'WORLD_SIZE: is "0"'],
    [{ RANK: '0', WORLD_SIZE: '1', MASTER_PORT: 'http' }, 'MASTER_PORT: is "http"'],
    [{ RANK: '0' }, 'RANK: is 0, but WORLD_SIZE is not set'],
    [{ WORLD_SIZE: '2' }, 'WORLD_SIZE: is 2, but RANK is not set'],
  ])('refuses %o', (env, message) => {
    expect(() => parseRankEnvironment(env)).toThrow(message)
  })
})
