import { describe, expect, it } from 'vitest'
import { columnsOf, csv } from './columns'
import { conditionsOf, cutPrefix, queryOf, shapes } from './condition'
import { leafConflicts, leafDifferences } from './differences'
import { linkPath, localReference, type Bundle, type Resource } from './fhir'
import { trends } from './trend'
import { failedLines, partsOf, partSize, readLoad } from './upload'

describe('a search', () => {
  it.each([
    'name:exact=%E7%A4%BA%E4%BE%8B&birthdate=ge2021-03',
    'code=http://loinc.org|2345-7&_sort=-date',
    'subject:Patient.name=peter',
    '_has:Observation:patient:code=1234-5',
    'value-quantity=gt5.4|http://unitsofmeasure.org|mmol/L',
  ])('%s is built as it was read', (query) => expect(queryOf(conditionsOf(query))).toBe(query))

  it('leaves out what is empty, and knows a modifier from a chain', () => {
    expect(queryOf([{ name: '', modifier: '', value: 'x' }, { name: 'name', modifier: '', value: '' }])).toBe('')
    expect(conditionsOf('name:exact=a&subject:Patient.name=b')).toEqual([
      { name: 'name', modifier: 'exact', value: 'a' },
      { name: 'subject:Patient.name', modifier: '', value: 'b' },
    ])
    expect([shapes('_sort'), shapes('_include:iterate'), shapes('_id'), shapes('_summary')]).toEqual([true, true, false, true])
  })

  it('cuts a prefix only off a value that begins with one', () => {
    expect(cutPrefix('ge2021')).toEqual(['ge', '2021'])
    expect(cutPrefix('eq5')).toEqual(['', '5'])
    expect(cutPrefix('ge')).toEqual(['ge', ''])
    expect(cutPrefix('general')).toEqual(['', 'general'])
    expect(cutPrefix('lt-3')).toEqual(['lt', '-3'])
  })
})

describe('references and links', () => {
  it('are local only where they name a record of this server', () => {
    expect(localReference('Patient/1')).toBe('Patient/1')
    expect(localReference('Patient/1/_history/2')).toBe('Patient/1')
    expect(localReference(`${location.origin}/fhir/Patient/1`)).toBe('Patient/1')
    expect(localReference('https://other.example/fhir/Patient/1')).toBe('')
    expect(localReference('urn:uuid:0')).toBe('')
    expect(localReference('#med')).toBe('')
    expect(localReference('javascript:alert(1)')).toBe('')
  })

  it('leave the host of a next page aside', () => {
    const bundle: Bundle = { resourceType: 'Bundle', type: 'searchset', link: [{ relation: 'next', url: 'http://inside:8080/fhir/Patient?_after=x&_count=2' }] }
    expect(linkPath(bundle, 'next')).toBe('/fhir/Patient?_after=x&_count=2')
    expect(linkPath(bundle, 'previous')).toBeUndefined()
  })
})

describe('differences', () => {
  it('are told leaf by leaf', () => {
    expect(leafDifferences({ a: 1, b: { c: [1, 2] }, d: 'x' }, { a: 1, b: { c: [1, 3, 4] }, e: { f: 1 } })).toEqual([
      { path: 'b.c[1]', from: 2, to: 3 },
      { path: 'b.c[2]', from: undefined, to: 4 },
      { path: 'd', from: 'x', to: undefined },
      { path: 'e', from: undefined, to: { f: 1 } },
    ])
    expect(leafDifferences({ a: [1] }, { a: [1] })).toEqual([])
    // Of a name whose text stays, the part that changed is told; what I changed alike is not.
    const name = (family: string, given: string) => ({ name: [{ text: 'x', family, given: [given] }] })
    expect(leafConflicts(name('a', 'b'), name('c', 'd'), name('a', 'd'))).toEqual([{ field: 'name[0].family', before: 'a', theirs: 'c', mine: 'a' }])
    expect(leafConflicts({ a: 1 }, { a: 1, b: { c: 2 } }, { a: 3 })).toEqual([{ field: 'b', before: undefined, theirs: { c: 2 }, mine: undefined }])
  })
})

describe('trends', () => {
  const glucose = (day: string, value: number, unit = 'mmol/L', more: object = {}): Resource => ({
    resourceType: 'Observation', id: day, code: { coding: [{ system: 'http://loinc.org', code: '2345-7', display: '葡萄糖' }] }, effectiveDateTime: day,
    valueQuantity: { value, unit }, ...more,
  })

  it('are grouped by code, newest first, with points of one unit oldest first', () => {
    const [t] = trends([glucose('2021-01-01', 5), glucose('2021-03-01', 7), glucose('2021-02-01', 110, 'mg/dL')])
    expect(t).toMatchObject({ name: '葡萄糖', latest: '7 mmol/L', at: '2021-03-01', flag: '' })
    expect(t!.points.map(([, v]) => v)).toEqual([5, 7])
  })

  it('flag what is out of its range or said to be', () => {
    const range = { referenceRange: [{ low: { value: 3.9 }, high: { value: 6.1 } }] }
    expect(trends([glucose('2021-01-01', 7, 'mmol/L', range)])[0]).toMatchObject({ flag: 'high', range: '3.9 – 6.1' })
    expect(trends([glucose('2021-01-01', 3, 'mmol/L', range)])[0]!.flag).toBe('low')
    expect(trends([glucose('2021-01-01', 5, 'mmol/L', { interpretation: [{ coding: [{ code: 'A' }] }] })])[0]!.flag).toBe('abnormal')
  })

  it('take the parts of a panel by themselves, and leave out what has no value', () => {
    const panel: Resource = {
      resourceType: 'Observation', code: { text: '血压' }, effectiveDateTime: '2021-01-01',
      component: [{ code: { text: '收缩压' }, valueQuantity: { value: 120, unit: 'mmHg' } }, { code: { text: '舒张压' } }],
    }
    expect(trends([panel]).map((t) => t.name)).toEqual(['收缩压'])
  })
})

describe('a file to upload', () => {
  it('is read as what it is', () => {
    const single = readLoad('a.json', '{"resourceType":"Patient","id":"x"}')
    expect(single.items[0]!.entry.request).toEqual({ method: 'PUT', url: 'Patient/x' })
    const lines = readLoad('b.ndjson', '{"resourceType":"Patient"}\n\nnot json\n{"x":1}\n')
    expect(lines.items.map((i) => [i.n, i.entry.request!.method])).toEqual([[1, 'POST']])
    expect(lines.unreadable).toEqual([{ file: 'b.ndjson', n: 3, why: 'json' }, { file: 'b.ndjson', n: 4, why: 'resource' }])
    expect(readLoad('c.json', '[1]').unreadable).toHaveLength(1)
    expect(readLoad('d.json', '{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Patient"}}]}').unreadable).toEqual([{ file: 'd.json', n: 1, why: 'request' }])
  })

  it('keeps a transaction whole unless it may be split and its entries do not need each other', () => {
    const entries = Array.from({ length: partSize + 1 }, () => ({ resource: { resourceType: 'Patient' }, request: { method: 'POST', url: 'Patient' } }))
    const free = readLoad('t.json', JSON.stringify({ resourceType: 'Bundle', type: 'transaction', entry: entries }))
    expect(partsOf(free, false).map((p) => [p.type, p.items.length])).toEqual([['transaction', partSize + 1]])
    expect(partsOf(free, true).map((p) => [p.type, p.items.length])).toEqual([['batch', partSize], ['batch', 1]])
    const tied = readLoad('t.json', JSON.stringify({ resourceType: 'Bundle', type: 'collection', entry: [...entries, { resource: { resourceType: 'Observation', subject: { reference: 'urn:uuid:1' } } }] }))
    expect(partsOf(tied, true).map((p) => p.type)).toEqual(['transaction'])
  })

  it('gives back what failed, a resource a line', () => {
    const load = readLoad('a.json', '{"resourceType":"Patient","id":"x"}')
    expect(failedLines([{ item: load.items[0]!, result: 'failed', status: '400', at: '', version: '', why: '' }])).toBe('{"resourceType":"Patient","id":"x"}\n')
  })
})

describe('a CSV', () => {
  it('quotes what must be quoted and lets no cell be a formula', () => {
    const text = csv(columnsOf('Basic'), [{ resourceType: 'Basic', id: '1', code: { text: '=1+1 "x",\n' } }])
    expect(text.startsWith('\uFEFF"resourceType","id",')).toBe(true)
    expect(text).toContain(`"'=1+1 ""x"",\n"`)
  })
})
