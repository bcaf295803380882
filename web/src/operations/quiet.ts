/** What a silence is for: one sign on one thing, all of one thing, or one sign wherever it shows. */
export type Scope = 'sign' | 'thing' | 'everywhere'

export interface Matcher {
  name: string
  op: '=' | '!=' | '=~' | '!~'
  value?: string
}

/** The conditions of a silence; the sign is its id, as the alert's name. */
export function matchersOf(scope: Scope, thing: string, sign: string | undefined): Matcher[] {
  const ofThing: Matcher = { name: 'thing', op: '=', value: thing }
  const ofSign: Matcher = { name: 'alertname', op: '=', value: sign ?? '' }
  switch (scope) {
    case 'sign':
      return sign ? [ofSign, ofThing] : [ofThing]
    case 'thing':
      return [ofThing]
    case 'everywhere':
      return [ofSign]
  }
}

/** A condition in a few signs: 'severity = "critical"'. thing gives the name of a thing by its id. */
export function told(m: Matcher, thing: (id: string) => string): string {
  return `${m.name} ${m.op} ${m.name === 'thing' && m.op === '=' ? thing(m.value ?? '') : (m.value ?? '')}`
}
