import { describe, expect, it } from 'vitest'
import { arrange, measures, type Edge, type Node } from './layout'

/** A generator that gives the same numbers for the same seed (mulberry32). */
function numbers(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const nodes = (...ids: string[]): Node[] => ids.map((id) => ({ id }))

describe('arrange', () => {
  it('puts what is stood on below', () => {
    const a = arrange(nodes('app', 'db', 'host', 'ups'), [{ from: 'app', to: 'db' }, { from: 'db', to: 'host' }, { from: 'host', to: 'ups' }, { from: 'app', to: 'host' }], 600)
    const y = new Map(a.boxes.map((b) => [b.id, b.y]))
    expect(y.get('app')).toBeLessThan(y.get('db')!)
    expect(y.get('db')).toBeLessThan(y.get('host')!)
    expect(y.get('host')).toBeLessThan(y.get('ups')!)
  })

  it('draws free starts down to what they stand on, but not what belongs at the top', () => {
    const edges: Edge[] = [{ from: 'app', to: 'db' }, { from: 'db', to: 'host' }, { from: 'disk-tool', to: 'host' }, { from: 'app2', to: 'host' }]
    const a = arrange([{ id: 'app', top: true }, { id: 'app2', top: true }, ...nodes('db', 'host', 'disk-tool')], edges, 600)
    const layer = new Map(a.boxes.map((b) => [b.id, b.layer]))
    expect(layer.get('disk-tool')).toBe(1)
    expect(layer.get('app2')).toBe(0)
  })

  it('bears circles, loops, repetitions and ends that are not there', () => {
    const a = arrange(nodes('a', 'b'), [{ from: 'a', to: 'b' }, { from: 'b', to: 'a' }, { from: 'a', to: 'a' }, { from: 'a', to: 'b' }, { from: 'a', to: 'gone' }], 300)
    expect(a.boxes).toHaveLength(2)
    expect(a.lines).toHaveLength(2)
    expect(arrange([], [], 300).boxes).toHaveLength(0)
  })

  it('places every node once, apart from each other and within the room, whatever the graph', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const next = numbers(seed)
      const n = 1 + Math.floor(next() * 80)
      const all = Array.from({ length: n }, (_, i) => ({ id: String(i), top: next() < 0.1 }))
      const edges = Array.from({ length: Math.floor(next() * 3 * n) }, () => ({ from: String(Math.floor(next() * n)), to: String(Math.floor(next() * n)) }))
      const room = 180 + Math.floor(next() * 1200)
      const a = arrange(all, edges, room)
      const told = `seed ${seed}`
      expect(new Set(a.boxes.map((b) => b.id)).size, told).toBe(n)
      const outside = a.boxes.filter((b) => b.x < 0 || b.x + measures.width > a.width || b.y < 0 || b.y + measures.height > a.height)
      expect(outside, told).toEqual([])
      const touching = a.boxes.filter((b) => a.boxes.some((o) => o !== b && Math.abs(o.x - b.x) < measures.width && Math.abs(o.y - b.y) < measures.height))
      expect(touching, told).toEqual([])
      expect(a.width, told).toBeLessThanOrEqual(Math.max(room, measures.width + 16))
    }
  })
})
