/** Where the elements of a JSON text stand, so that what is said of an element can be shown beside its line. */
export interface Places {
  /** Line, from 1, of each element by its FHIRPath without the type: "name[0].family". The whole is ''. */
  lines: Map<string, number>
  /** Where the text stops being JSON; undefined where it is whole. */
  broken?: { line: number }
}

/** Reads where elements stand. It never throws: of a broken text it knows what stands before the break. */
export function placesOf(text: string): Places {
  const lines = new Map<string, number>()
  let at = 0
  let line = 1

  class Broken extends Error {}
  function space() {
    for (; at < text.length && ' \t\r\n'.includes(text[at]!); at++) if (text[at] === '\n') line++
  }
  function take(pattern: RegExp): string {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (!found) throw new Broken()
    at = pattern.lastIndex
    return found[0]
  }
  function value(path: string) {
    space()
    if (!lines.has(path)) lines.set(path, line)
    const begin = text[at]
    if (begin === '{') {
      members('}', () => {
        const name = JSON.parse(take(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\dA-Fa-f]{4}))*"/y)) as string
        const inner = path ? `${path}.${name}` : name
        lines.set(inner, line)
        space()
        take(/:/y)
        value(inner)
      })
    } else if (begin === '[') {
      let n = 0
      members(']', () => value(`${path}[${n++}]`))
    } else {
      take(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\dA-Fa-f]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null/y)
    }
  }
  function members(end: string, one: () => void) {
    at++
    space()
    if (text[at] === end) {
      at++
      return
    }
    for (;;) {
      space()
      one()
      space()
      if (text[at] === end) {
        at++
        return
      }
      take(/,/y)
    }
  }

  try {
    value('')
    space()
    if (at < text.length) throw new Broken()
  } catch {
    return { lines, broken: { line } }
  }
  return { lines }
}

/** An expression of an OperationOutcome without its type: "Patient.name[0]" → "name[0]"; '' for the resource itself. */
export function elementOf(expression: string): string {
  const path = expression.replace(/^[A-Z]\w*(\.|$)/, '')
  // A choice may be named by its type: value.ofType(Quantity) is valueQuantity in JSON.
  return path.replace(/\.ofType\((\w)(\w*)\)/g, (_, first: string, rest: string) => first.toUpperCase() + rest)
}

/** The line of an element; where it is not there, that of the nearest element around it. */
export function lineOf({ lines }: Places, element: string): number {
  // Every round is shorter than the last, whatever an expression holds: "value[x]" is no step of JSON.
  for (let path = element; path; path = path.slice(0, Math.max(0, path.lastIndexOf('.'), path.lastIndexOf('[')))) {
    const line = lines.get(path)
    if (line !== undefined) return line
  }
  return lines.get('') ?? 1
}
