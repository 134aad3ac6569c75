import { type Command, Help, type HelpConfiguration, Option } from 'commander'

const maxTermWidth = 28

/** A flag that has a second one, `--no-…`, which help does not list apart. */
export class NegatableOption extends Option {}

/** Help for 80 columns: a long flag stands on a line of its own, so that what is said of the others is not squeezed. */
export const helpLayout: HelpConfiguration = {
  padWidth: (command: Command, helper: Help) =>
    Math.min(maxTermWidth, Help.prototype.padWidth.call(helper, command, helper)),
  optionTerm: (option: Option) =>
    option instanceof NegatableOption ? option.flags.replace('--', '--[no-]') : option.flags,
  // Choices and defaults are in it.
  optionDescription: (option: Option) => option.description,
  formatItem(...[term, termWidth, description, helper]: Parameters<Help['formatItem']>) {
    const head = `  ${term}`
    const indent = ' '.repeat(termWidth + 4)
    const width = (helper.helpWidth ?? 80) - indent.length
    const body = helper.boxWrap(description, width).replaceAll('\n', `\n${indent}`)
    return head.length + 2 <= indent.length ? `${head.padEnd(indent.length)}${body}` : `${head}\n${indent}${body}`
  },
}
