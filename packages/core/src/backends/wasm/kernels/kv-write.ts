/** Row i of keys and values ([n, rowBytes]) goes to slot slots[i] (int32) of one layer's arrays. */
export function kvWrite(
  keyCache: usize,
  valueCache: usize,
  keys: usize,
  values: usize,
  slots: usize,
  n: i32,
  rowBytes: usize,
): void {
  for (let i = 0; i < n; i++) {
    const to = <usize>load<u32>(slots + (<usize>i << 2)) * rowBytes
    const from = <usize>i * rowBytes
    memory.copy(keyCache + to, keys + from, rowBytes)
    memory.copy(valueCache + to, values + from, rowBytes)
  }
}
