import { loadEngineModules, ModelWorker, singleRank } from '@octavo/core/engine'
import { initDeviceMesh } from '../device-mesh.ts'
import type { ThreadGroupHandle } from '../groups/thread-memory.ts'
import { initProcessGroup } from '../init-process-group.ts'
import type { WorldProcessGroup } from '../process-group.ts'
import { createCommunicator } from '../tensor-communicator.ts'
import { packageVersion } from '../package-version.ts'
import { checkpointDigest } from './checkpoint-digest.ts'
import type { RankSetup } from './rank-messages.ts'
import type { Rank } from './rank-server.ts'

/** Takes a rank's place among the others, who do so at the same time. */
export async function createRank(
  setup: RankSetup,
  onProgress: (loadedBytes: number, totalBytes: number) => void,
): Promise<Rank> {
  const { config, modelPath, tp, pp, ep, layerRanges, numLocalWorkers } = setup
  const workerModules = await loadEngineModules(setup.modules)
  const world = joinWorld(setup)
  const mesh = initDeviceMesh(world, { tp, pp, ep })
  const layers = layerRanges[mesh.coordinates.pp]
  const worker = new ModelWorker({
    config,
    modelPath,
    communicator: tp === 1 ? singleRank : createCommunicator(mesh.getGroup('tp')),
    ...(ep > 1 && { expertCommunicator: createCommunicator(mesh.getGroup('ep')) }),
    ...(pp > 1 && layers && { layers }),
    share: { numLocalWorkers },
    workerModules,
    onProgress,
  })
  return {
    identity: { version: packageVersion(), checkpoint: checkpointDigest(modelPath), mpiLibrary: null },
    worker,
    abort: (reason) => world.abort(reason),
    end() {
      worker.dispose()
      world.destroy()
    },
  }
}

function joinWorld({ rank, threadGroup, collectiveTimeoutMs: timeoutMs }: RankSetup): WorldProcessGroup {
  return initProcessGroup({ backend: 'threads', handle: threadGroup as ThreadGroupHandle, rank, timeoutMs })
}
