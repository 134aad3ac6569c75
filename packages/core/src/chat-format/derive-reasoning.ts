import type { ReasoningSyntax } from './chat-format.ts'
import { probe, type ProbeTurn, type TemplateProbe } from './template-probe.ts'
import { commonPrefix } from './text-difference.ts'

const tag = /<[^<>\s]+>|\[\/?[A-Z_]+\]/u
const lastTag = /(?:<[^<>\s/]+>|\[[A-Z_]+\])\s*$/u

/** Thinking as the template writes it back, or as it speaks about it. */
export function deriveReasoning(
  template: TemplateProbe,
  turns: readonly ProbeTurn[],
  source: string,
): ReasoningSyntax | null {
  const prompt = template.prompt()
  if (prompt === null) return null
  for (const turn of turns) {
    const reasoning = reasoningIn(template.answer({ ...turn, reasoning: probe.reasoning }), prompt)
    if (reasoning !== null) return reasoning
  }
  return mentionedReasoning(source)
}

function reasoningIn(answer: string | null, prompt: string): ReasoningSyntax | null {
  const from = answer?.indexOf(probe.reasoning) ?? -1
  if (answer === null || from === -1) return null
  const lead = answer.slice(Math.min(from, commonPrefix(answer, prompt).length), from)
  // Where the prompt opened the thinking, the marker stands there; the prompt may have ended it, too.
  const opening = lead.trim() === '' ? (lastTag.exec(answer.slice(0, from))?.[0] ?? '') : lead
  const rest = answer.slice(from + probe.reasoning.length)
  const end = tag.exec(rest)
  if (end === null || rest.slice(0, end.index).trim() !== '' || isTurnMarker(opening)) return null
  const turn = prompt.slice(prompt.lastIndexOf(probe.user) + probe.user.length)
  // A marker of all messages marks no thinking.
  if (turn.split(opening.trim()).length > 2) return null
  const afterEnd =
    nextTurn(rest.slice(end.index), { end: end[0], turn }) ?? /^\s*/u.exec(rest.slice(end.index + end[0].length))![0]
  return {
    begin: opening.trim(),
    end: end[0],
    afterBegin: /\s*$/u.exec(opening)![0],
    beforeEnd: rest.slice(0, end.index),
    afterEnd,
  }
}

/** Thinking that is a message of its own: what ends it ends the user's message too, and the answer's turn begins anew. */
function nextTurn(rest: string, { end, turn }: { readonly end: string; readonly turn: string }): string | null {
  return turn.startsWith(end) && turn !== end && rest.startsWith(turn) ? turn.slice(end.length) : null
}

/** A template that writes reasoning without a marker of its own; what precedes it begins the turn. */
function isTurnMarker(opening: string): boolean {
  return opening.trim() === '' || /assistant|user|system|chatbot/iu.test(opening)
}

/**
 * Templates that take thinking out of earlier turns, or leave it to the model, name the markers nevertheless, where they
 * split texts or instruct.
 */
const mentions: readonly RegExp[] = [
  /<\/((?:\w+:)?think(?:ing)?)>/u,
  /\[\/(THINK)\]/u,
  /<\|END_(THINKING)\|>/u,
  /◁\/(think)▷/u,
]

function mentionedReasoning(source: string): ReasoningSyntax | null {
  for (const mention of mentions) {
    const end = mention.exec(source)?.[0]
    if (end === undefined) continue
    const begin = end.includes('END_') ? end.replace('END_', 'START_') : end.replace('/', '')
    return { begin, end, afterBegin: '\n', beforeEnd: '\n', afterEnd: '\n\n' }
  }
  return null
}
