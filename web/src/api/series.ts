import { ask, query } from './client'

/** A measured line: [Unix seconds, value] in order of time. */
export interface Series {
  labels: Record<string, string>
  points: [number, number][]
}

interface Answer {
  status: 'success' | 'error'
  data: { resultType: string; result: { metric: Record<string, string>; values: [number, string][] }[] }
}

/** Asks the Prometheus door for a range; start, end and step in seconds. */
export async function range(expr: string, start: number, end: number, step: number): Promise<Series[]> {
  const answer = await ask<Answer>('/api/v1/query_range' + query({ query: expr, start, end, step }))
  return answer.data.result.map((r) => ({ labels: r.metric, points: r.values.map(([at, v]) => [at, Number(v)]) }))
}
