/** One event of a text/event-stream. */
export interface StreamEvent {
  id?: string
  event: string
  data: string
}

/**
 * Reads a text/event-stream (WHATWG HTML §9.2.6) piece by piece. Comments,
 * which the server sends to show that it lives, are given to onComment.
 */
export class EventReader {
  private rest = ''
  private event = ''
  private data: string[] = []
  private id: string | undefined

  constructor(
    private readonly onEvent: (event: StreamEvent) => void,
    private readonly onComment: () => void = () => {},
  ) {}

  /** Takes the next piece of the stream; pieces may end anywhere, also between CR and LF. */
  push(piece: string): void {
    this.rest += piece
    for (;;) {
      const end = this.rest.search(/\r|\n/)
      if (end < 0) return
      const cr = this.rest[end] === '\r'
      // A CR at the very end may be the first half of CRLF: wait for more.
      if (cr && end + 1 === this.rest.length) return
      const line = this.rest.slice(0, end)
      this.rest = this.rest.slice(end + (cr && this.rest[end + 1] === '\n' ? 2 : 1))
      this.line(line)
    }
  }

  private line(line: string): void {
    if (line === '') {
      if (this.data.length > 0) {
        this.onEvent({ id: this.id, event: this.event || 'message', data: this.data.join('\n') })
      }
      this.event = ''
      this.data = []
      this.id = undefined
      return
    }
    if (line.startsWith(':')) {
      this.onComment()
      return
    }
    const colon = line.indexOf(':')
    const name = colon < 0 ? line : line.slice(0, colon)
    let value = colon < 0 ? '' : line.slice(colon + 1)
    if (value.startsWith(' ')) value = value.slice(1)
    if (name === 'event') this.event = value
    else if (name === 'data') this.data.push(value)
    else if (name === 'id') this.id = value
  }
}
