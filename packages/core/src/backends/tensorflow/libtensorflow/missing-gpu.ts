import { readFileSync } from 'node:fs'

/** The oldest Linux driver that runs programs of a CUDA major version (NVIDIA, CUDA Compatibility, table 1). */
const oldestDrivers: Readonly<Record<string, number>> = { '11': 450, '12': 525, '13': 580 }

/** Why a TensorFlow for CUDA sees no GPU here, and what to do, from what the driver says of itself (null: it is not loaded). */
export function explainMissingGpu(cudaVersion: string | null, driverVersion = readDriverVersion()): string {
  const needed = oldestDrivers[cudaVersion?.split('.')[0] ?? '']
  if (driverVersion === null) return 'no NVIDIA driver is loaded here (nvidia-smi shows whether there is one)'
  if (needed !== undefined && Number.parseInt(driverVersion, 10) < needed)
    return `the NVIDIA driver ${driverVersion} is too old for CUDA ${cudaVersion}, which needs ${needed} or newer`
  return (
    `the NVIDIA driver ${driverVersion} is loaded, so CUDA's libraries are missing or of another version: ` +
    "`pip install 'tensorflow[and-cuda]'` brings them, and CUDA_VISIBLE_DEVICES must not be empty"
  )
}

/** Of the NVIDIA kernel module, such as `550.54.15`; null where it is not loaded. */
function readDriverVersion(): string | null {
  try {
    const text = readFileSync('/proc/driver/nvidia/version', 'utf8')
    return /Kernel Module\D+?(\d+[.]\d+(?:[.]\d+)?)/.exec(text)?.[1] ?? null
  } catch {
    return null
  }
}
