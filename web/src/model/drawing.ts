import type { Lifecycle, Verb } from '../api/types'

/** A state's box on the drawing; x and y are of its upper left corner, in px. */
export interface Box {
  name: string
  x: number
  y: number
}

/** A move from one state to another; verbs that make the same move share it. */
export interface Arrow {
  from: string
  to: string
  verbs: Verb[]
  /** Path of the line, and where its label stands. */
  d: string
  labelX: number
  labelY: number
}

export interface Drawing {
  boxes: Box[]
  arrows: Arrow[]
  width: number
  height: number
}

export const box = { width: 136, height: 56 }
const gap = { x: 120, y: 64 }
/** Beside the outer columns there must be room for the labels of arrows that bow past a neighbour. */
const margin = { x: 72, y: 32 }
/** How far apart arrows of one row bow. */
const bow = 26

/**
 * Lays a lifecycle out from left to right: a state stands in the column of the
 * fewest moves from the start, states of one column below each other in the
 * order of declaration. Moves forward are straight, back and past a column bowed.
 */
export function draw(cycle: Lifecycle): Drawing {
  const moves = movesOf(cycle)
  const depth = depths(cycle, moves)
  const columns: string[][] = []
  for (const s of cycle.states) (columns[depth.get(s.name) ?? 0] ??= []).push(s.name)
  const rows = Math.max(1, ...columns.map((c) => c?.length ?? 0))

  // Bowed arrows need air above the first row and below the last.
  const bowed = moves.filter((m) => Math.abs((depth.get(m.to) ?? 0) - (depth.get(m.from) ?? 0)) !== 1).length
  const air = margin.y + (bowed > 0 ? Math.min(4, Math.ceil(bowed / 2)) * bow : 0)
  const boxes = new Map<string, Box>()
  columns.forEach((names, column) => {
    const lack = (rows - names.length) / 2
    names.forEach((name, row) => {
      boxes.set(name, {
        name,
        x: margin.x + column * (box.width + gap.x),
        y: air + (row + lack) * (box.height + gap.y),
      })
    })
  })

  let above = 0
  let below = 0
  const arrows: Arrow[] = moves.map((m) => {
    const a = boxes.get(m.from)!
    const b = boxes.get(m.to)!
    const step = (depth.get(m.to) ?? 0) - (depth.get(m.from) ?? 0)
    if (m.from === m.to) return loop(m, a)
    if (step === 1) return straight(m, a, b)
    if (step === 0) return aside(m, a, b)
    return step > 1 ? over(m, a, b, -(++above * bow)) : over(m, a, b, ++below * bow)
  })
  return {
    boxes: [...boxes.values()],
    arrows,
    width: margin.x * 2 + columns.length * box.width + (columns.length - 1) * gap.x,
    height: air * 2 + rows * box.height + (rows - 1) * gap.y,
  }
}

type Move = Pick<Arrow, 'from' | 'to' | 'verbs'>

function movesOf(cycle: Lifecycle): Move[] {
  const moves = new Map<string, Move>()
  for (const verb of cycle.verbs) {
    const from = verb.from.includes('*') ? cycle.states.filter((s) => !s.final).map((s) => s.name) : verb.from
    for (const name of from) {
      const to = verb.to || name
      // "From anywhere" does not draw a loop at its own target.
      if (name === to && verb.to && verb.from.includes('*')) continue
      const key = name + '>' + to
      const move = moves.get(key)
      if (move) move.verbs.push(verb)
      else moves.set(key, { from: name, to, verbs: [verb] })
    }
  }
  const known = new Set(cycle.states.map((s) => s.name))
  return [...moves.values()].filter((m) => known.has(m.from) && known.has(m.to))
}

function depths(cycle: Lifecycle, moves: Move[]): Map<string, number> {
  const depth = new Map<string, number>([[cycle.start, 0]])
  const queue = [cycle.start]
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    for (const m of moves) {
      if (m.from !== name || depth.has(m.to)) continue
      depth.set(m.to, depth.get(name)! + 1)
      queue.push(m.to)
    }
  }
  // What no verb reaches, as states entered by import, stands at the start.
  for (const s of cycle.states) if (!depth.has(s.name)) depth.set(s.name, 0)
  return depth
}

function straight(m: Move, a: Box, b: Box): Arrow {
  const [x1, y1, x2, y2] = [a.x + box.width, a.y + box.height / 2, b.x, b.y + box.height / 2]
  const bend = (x2 - x1) / 2
  return {
    ...m,
    d: `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2 - 2},${y2}`,
    labelX: (x1 + x2) / 2,
    labelY: (y1 + y2) / 2 - 6,
  }
}

/** Between states of one column: down on the right, up on the left. */
function aside(m: Move, a: Box, b: Box): Arrow {
  const down = b.y > a.y
  const x = down ? a.x + box.width * 0.62 : a.x + box.width * 0.38
  const [y1, y2] = down ? [a.y + box.height, b.y - 2] : [a.y, b.y + box.height + 2]
  const neighbours = Math.abs(a.y - b.y) <= box.height + gap.y
  const out = neighbours ? 0 : (down ? 1 : -1) * (box.width * 0.7)
  return {
    ...m,
    d: `M${x},${y1} C${x + out},${y1 + (y2 - y1) / 3} ${x + out},${y2 - (y2 - y1) / 3} ${x},${y2}`,
    labelX: x + out * 0.75 + (down ? 6 : -6),
    labelY: (y1 + y2) / 2 + 4,
  }
}

function over(m: Move, a: Box, b: Box, rise: number): Arrow {
  const up = rise < 0
  const x1 = a.x + box.width / 2 + (up ? 12 : -12)
  const x2 = b.x + box.width / 2 + (up ? -12 : 12)
  const y1 = up ? a.y : a.y + box.height
  const y2 = up ? b.y - 2 : b.y + box.height + 2
  const peak = (up ? Math.min(y1, y2) : Math.max(y1, y2)) + rise
  return {
    ...m,
    d: `M${x1},${y1} C${x1},${peak} ${x2},${peak} ${x2},${y2}`,
    labelX: (x1 + x2) / 2,
    labelY: (y1 + y2) / 8 + peak * 0.75 + (up ? -4 : 14),
  }
}

function loop(m: Move, a: Box): Arrow {
  const x = a.x + box.width - 28
  return {
    ...m,
    d: `M${x - 12},${a.y} C${x - 16},${a.y - 28} ${x + 20},${a.y - 28} ${x + 14},${a.y - 2}`,
    labelX: x + 2,
    labelY: a.y - 26,
  }
}
