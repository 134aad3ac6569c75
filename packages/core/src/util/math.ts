import { assert } from './assert.ts'

export function ceilDiv(a: number, b: number): number {
  return Math.ceil(a / b)
}

export function alignUp(value: number, multiple: number): number {
  return ceilDiv(value, multiple) * multiple
}

export function divideExactly(a: number, b: number): number {
  assert(a % b === 0, `${a} is not divisible by ${b}`)
  return a / b
}

export function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}
