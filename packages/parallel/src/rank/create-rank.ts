import { loadEngineModules, ModelWorker, singleRank } from '@octavo/core/engine'
import { type DeviceMesh, initDeviceMesh } from '../device-mesh.ts'
import { MpiProcessGroup } from '../groups/mpi-group.ts'
import { packageVersion } from '../package-version.ts'
import { PipelineStage } from '../pipeline-stage.ts'
import { createCommunicator } from '../tensor-communicator.ts'
import { checkpointDigest } from './checkpoint-digest.ts'
import { joinWorld } from './join-world.ts'
import type { RankSetup } from './rank-messages.ts'
import type { Rank } from './rank-server.ts'

type OnProgress = (loadedBytes: number, totalBytes: number) => void

/** Takes a rank's place among the others, who do so at the same time. */
export async function createRank(setup: RankSetup, onProgress: OnProgress): Promise<Rank> {
  const world = joinWorld(setup)
  try {
    const mesh = initDeviceMesh(world, { tp: setup.tp, pp: setup.pp, ep: setup.ep })
    const worker = await createWorker(setup, mesh, onProgress)
    const { tp, ep } = mesh.coordinates
    const stage = new PipelineStage({ worker, group: mesh.getGroup('pp'), isDrawing: tp === 0 && ep === 0 })
    return {
      identity: {
        version: packageVersion(),
        checkpoint: checkpointDigest(setup.modelPath),
        mpiLibrary: world instanceof MpiProcessGroup ? world.library : null,
      },
      worker,
      stage,
      expertBalance: () => worker.expertBalance,
      compileGrammar: (spec) => worker.compileGrammar(spec),
      abort: (reason) => world.abort(reason),
      end() {
        worker.dispose()
        world.destroy()
      },
    }
  } catch (error) {
    world.abort(error instanceof Error ? error.message : String(error))
    throw error
  }
}

async function createWorker(setup: RankSetup, mesh: DeviceMesh, onProgress: OnProgress): Promise<ModelWorker> {
  const { config, modelPath, modules, tp, pp, ep, layerRanges, share } = setup
  const layers = layerRanges[mesh.coordinates.pp]
  return new ModelWorker({
    config,
    modelPath,
    communicator: tp === 1 ? singleRank : createCommunicator(mesh.getGroup('tp')),
    ...(ep > 1 && { expertCommunicator: createCommunicator(mesh.getGroup('ep')) }),
    ...(pp > 1 && layers && { layers }),
    share,
    workerModules: await loadEngineModules(modules),
    onProgress,
  })
}
