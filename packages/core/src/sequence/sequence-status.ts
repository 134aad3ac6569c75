/**
 * waiting → running → finished, with running → preempted → running when the KV cache is full.
 * An abort leads to finished from anywhere.
 */
export type SequenceStatus = 'waiting' | 'running' | 'preempted' | 'finished'
