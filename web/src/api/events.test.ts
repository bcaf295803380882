import { describe, expect, it } from 'vitest'
import { EventReader, type StreamEvent } from './events'

function read(...pieces: string[]) {
  const events: StreamEvent[] = []
  let comments = 0
  const reader = new EventReader(
    (e) => events.push(e),
    () => comments++,
  )
  for (const p of pieces) reader.push(p)
  return { events, comments }
}

const stream = ': alive\nid: c1\nevent: position\ndata: {}\n\nid: c2\r\nevent: change\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata\n\nevent: empty\n\nid: c3\ndata:x\n\n'

describe('EventReader', () => {
  it('reads events as WHATWG HTML §9.2.6 says', () => {
    const { events, comments } = read(stream)
    expect(comments).toBe(1)
    expect(events).toEqual([
      { id: 'c1', event: 'position', data: '{}' },
      { id: 'c2', event: 'change', data: '{"a":\n1}' },
      { id: undefined, event: 'message', data: '' },
      { id: 'c3', event: 'message', data: 'x' },
    ])
  })

  it('reads the same wherever the pieces end', () => {
    const whole = read(stream).events
    for (let i = 0; i <= stream.length; i++) expect(read(stream.slice(0, i), stream.slice(i)).events, `cut at ${i}`).toEqual(whole)
    expect(read(...stream).events).toEqual(whole)
  })

  it('tells nothing before its empty line came', () => {
    expect(read('data: half\n').events).toEqual([])
  })
})
