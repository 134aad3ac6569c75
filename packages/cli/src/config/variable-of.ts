/** `maxNumSeqs` in the environment: `OCTAVO_MAX_NUM_SEQS`. */
export function variableOf(option: string): string {
  return `OCTAVO_${option.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}
