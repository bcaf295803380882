/**
 * Places things in layers, each below what stands on it: a drawing of who
 * depends on whom that one reads from top to bottom. Layers that are wider than
 * the room are broken into rows, so that the drawing never scrolls sideways.
 */

export interface Node {
  id: string
  /** Belongs at the top although little lies below it, as what people use does. */
  top?: boolean
}

/** from stands on to. */
export interface Edge {
  from: string
  to: string
}

export interface Box {
  id: string
  /** The upper left corner. */
  x: number
  y: number
  layer: number
}

export interface Line {
  from: string
  to: string
  d: string
}

export interface Arrangement {
  width: number
  height: number
  boxes: Box[]
  lines: Line[]
}

export interface Measures {
  width: number
  height: number
  /** Between boxes of a row. */
  beside: number
  /** Between layers. */
  below: number
  /** Between rows of one layer. */
  between: number
}

export const measures: Measures = { width: 160, height: 44, beside: 14, below: 34, between: 12 }

/** Sweeps of the ordering; more change little. */
const sweeps = 6
const margin = 8

/** Edges without repetitions, loops, ends that are not there, and those that close a circle. */
function acyclic(ids: string[], edges: Edge[]): Edge[] {
  const there = new Set(ids)
  const out = new Map<string, string[]>()
  const known = new Set<string>()
  for (const e of edges) {
    const key = e.from + '\n' + e.to
    if (e.from === e.to || known.has(key) || !there.has(e.from) || !there.has(e.to)) continue
    known.add(key)
    out.set(e.from, [...(out.get(e.from) ?? []), e.to])
  }
  const state = new Map<string, 'open' | 'done'>()
  const kept: Edge[] = []
  // A stack of our own: a chain of ten thousand links must not overflow the engine's.
  for (const root of ids) {
    if (state.has(root)) continue
    const stack: { id: string; next: number }[] = [{ id: root, next: 0 }]
    state.set(root, 'open')
    while (stack.length > 0) {
      const at = stack[stack.length - 1]!
      const to = (out.get(at.id) ?? [])[at.next++]
      if (to === undefined) {
        state.set(at.id, 'done')
        stack.pop()
      } else if (state.get(to) !== 'open') {
        kept.push({ from: at.id, to })
        if (!state.has(to)) {
          state.set(to, 'open')
          stack.push({ id: to, next: 0 })
        }
      }
    }
  }
  return kept
}

/** The layer of each node: below everything that stands on it; free starts are drawn down to what they stand on. */
function layersOf(nodes: Node[], edges: Edge[]): Map<string, number> {
  const into = new Map<string, number>()
  const out = new Map<string, string[]>()
  for (const e of edges) {
    into.set(e.to, (into.get(e.to) ?? 0) + 1)
    out.set(e.from, [...(out.get(e.from) ?? []), e.to])
  }
  const layer = new Map(nodes.map((n) => [n.id, 0]))
  const ready = nodes.filter((n) => !into.get(n.id)).map((n) => n.id)
  for (let i = 0; i < ready.length; i++) {
    const id = ready[i]!
    for (const to of out.get(id) ?? []) {
      layer.set(to, Math.max(layer.get(to)!, layer.get(id)! + 1))
      into.set(to, into.get(to)! - 1)
      if (into.get(to) === 0) ready.push(to)
    }
  }
  const starts = new Set(edges.map((e) => e.to))
  for (const n of nodes) {
    const below = out.get(n.id)
    if (n.top || starts.has(n.id) || !below) continue
    layer.set(n.id, Math.min(...below.map((to) => layer.get(to)!)) - 1)
  }
  return layer
}

/** Orders each layer by where its neighbours stand, so that few lines cross. */
function ordered(layers: string[][], edges: Edge[]): void {
  const near = new Map<string, string[]>()
  for (const e of edges) {
    near.set(e.from, [...(near.get(e.from) ?? []), e.to])
    near.set(e.to, [...(near.get(e.to) ?? []), e.from])
  }
  const place = new Map<string, number>()
  const note = (list: string[]) => list.forEach((id, i) => place.set(id, (i + 0.5) / list.length))
  layers.forEach(note)
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const order = sweep % 2 === 0 ? layers : [...layers].reverse()
    for (const list of order) {
      const wish = new Map(
        list.map((id) => {
          const others = near.get(id) ?? []
          const sum = others.reduce((s, o) => s + place.get(o)!, 0)
          return [id, others.length > 0 ? sum / others.length : place.get(id)!]
        }),
      )
      list.sort((a, b) => wish.get(a)! - wish.get(b)!)
      note(list)
    }
  }
}

/** Arranges the nodes in at most room pixels of width (but at least one box). */
export function arrange(nodes: Node[], edges: Edge[], room: number, m: Measures = measures): Arrangement {
  const tree = acyclic(
    nodes.map((n) => n.id),
    edges,
  )
  const layer = layersOf(nodes, tree)
  const used = [...new Set(layer.values())].sort((a, b) => a - b)
  const layers = used.map((l) => nodes.filter((n) => layer.get(n.id) === l).map((n) => n.id))
  ordered(layers, tree)

  const across = Math.max(1, Math.floor((room - 2 * margin + m.beside) / (m.width + m.beside)))
  const widest = Math.min(across, Math.max(1, ...layers.map((l) => l.length)))
  const width = Math.max(room, widest * (m.width + m.beside) - m.beside + 2 * margin)
  const boxes: Box[] = []
  let y = margin
  layers.forEach((list, l) => {
    const rows = Math.ceil(list.length / across)
    for (let row = 0; row < rows; row++) {
      // Every rows-th one: neighbours stay above each other instead of at opposite ends.
      const own = list.filter((_, i) => i % rows === row)
      const start = (width - own.length * (m.width + m.beside) + m.beside) / 2
      own.forEach((id, i) => boxes.push({ id, x: start + i * (m.width + m.beside), y, layer: l }))
      y += m.height + m.between
    }
    y += m.below - m.between
  })
  const at = new Map(boxes.map((b) => [b.id, b]))
  const lines = [...new Map(edges.map((e) => [e.from + '\n' + e.to, e])).values()].flatMap((e): Line[] => {
    const from = at.get(e.from)
    const to = at.get(e.to)
    return from && to && from !== to ? [{ from: e.from, to: e.to, d: path(from, to, m) }] : []
  })
  return { width, height: Math.max(y - m.below + margin, m.height + 2 * margin), boxes, lines }
}

function path(from: Box, to: Box, m: Measures): string {
  const x1 = from.x + m.width / 2
  const x2 = to.x + m.width / 2
  // A link that closes a circle runs upwards, or beside.
  const down = from.y < to.y
  const y1 = down ? from.y + m.height : from.y
  const y2 = down ? to.y : to.y + m.height
  const bend = Math.max(18, Math.abs(y2 - y1) / 2) * (down ? 1 : -1)
  return `M${x1.toFixed(1)},${y1}C${x1.toFixed(1)},${y1 + bend} ${x2.toFixed(1)},${y2 - bend} ${x2.toFixed(1)},${y2}`
}
