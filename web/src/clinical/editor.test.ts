import { describe, expect, it } from 'vitest'
import { amount, at, begun, elementsOf, fill, measured, put } from './elements'
import { exactNumber, numberText, parseExact } from './exact'
import { elementOf, lineOf, placesOf } from './lines'
import { findingsOf } from './validate'
import { reportLines, type Outcome } from './upload'

const text = `{
  "resourceType": "Patient",
  "name": [
    { "given": ["a", "b\\"{"] },
    {
      "family": "c"
    }
  ],
  "active": true
}`

describe('where elements stand', () => {
  it('knows the line of every element, and of the nearest around one that is not there', () => {
    const places = placesOf(text)
    expect(places.broken).toBeUndefined()
    for (const [element, line] of [['', 1], ['name', 3], ['name[0].given[1]', 4], ['name[1]', 5], ['name[1].family', 6], ['active', 9], ['name[1].use', 5], ['name[7].use', 3], ['gender', 1]] as const) expect(lineOf(places, element), element).toBe(line)
  })

  it('ends with any expression', () => {
    for (const element of ['value[x]', 'name[', 'a..b', 'name[0', "extension.where(url='http://a.b/c[1]').value", '[]', '.']) expect(lineOf(placesOf(text), element), element).toBeGreaterThan(0)
  })

  it('says where a text stops being JSON, and never throws', () => {
    expect(placesOf('{\n "a": 1,\n}').broken).toEqual({ line: 3 })
    expect(placesOf('{\n "a": 01\n}').broken).toEqual({ line: 2 })
    for (let i = 0; i < text.length; i++) expect(placesOf(text.slice(0, i)).broken, String(i)).toBeDefined()
  })

  it('reads the expressions of an outcome', () => {
    expect(elementOf('Patient.name[0].family')).toBe('name[0].family')
    expect(elementOf('Patient')).toBe('')
    expect(elementOf('Observation.value.ofType(Quantity).code')).toBe('valueQuantity.code')
  })
})

describe('decimals', () => {
  it('keep their digits where the browser can', () => {
    const doc = parseExact('{"a":5.40,"b":1,"c":0.1}')
    const keeps = 'rawJSON' in JSON
    expect(JSON.stringify(doc)).toBe(keeps ? '{"a":5.40,"b":1,"c":0.1}' : '{"a":5.4,"b":1,"c":0.1}')
    expect(numberText((doc as { a: unknown }).a)).toBe(keeps ? '5.40' : '5.4')
    for (const s of ['', 'x', '1e3', '01', '1.', '--1']) expect(exactNumber(s), s).toBeUndefined()
  })

  it('are measured in the unit that was typed', () => {
    const before = { value: 5, unit: 'mmol/L', system: 'http://unitsofmeasure.org', code: 'mmol/L' }
    expect(amount(before)).toEqual({ value: '5', unit: 'mmol/L' })
    expect(measured(before, { value: '6', unit: 'mmol/L' })).toEqual({ ...before, value: 6 })
    expect(measured(before, { value: '6', unit: 'mg/dL' })).toEqual({ value: 6, unit: 'mg/dL', system: 'http://unitsofmeasure.org', code: 'mg/dL' })
    expect(measured(before, { value: '' })).toBeUndefined()
  })
})

describe('the form of a resource', () => {
  it('writes what it shows and nothing else', () => {
    const doc = { resourceType: 'Patient', name: [{ use: 'official', text: 'x' }], contact: [{ gender: 'male' }] }
    expect(put(doc, 'name[0].text', 'y')).toEqual({ ...doc, name: [{ use: 'official', text: 'y' }] })
    expect(put(doc, 'name[0].given[0]', 'z').name).toEqual([{ use: 'official', text: 'x', given: ['z'] }])
    expect(put(put(doc, 'address[0].text', 'here'), 'address[0].text', undefined)).toEqual(doc)
    expect(doc.name[0]!.text).toBe('x')
  })

  it('writes companions with a first value and takes them away with the last', () => {
    const phone = elementsOf({ resourceType: 'Patient' }).find((e) => e.path === 'telecom[0].value')!
    const with1 = fill({ resourceType: 'Patient' }, phone, '1')
    expect(with1.telecom).toEqual([{ value: '1', system: 'phone' }])
    expect(fill(with1, phone, undefined)).toEqual({ resourceType: 'Patient' })
  })

  it('offers one of a choice once it is made', () => {
    const paths = (more: object) => elementsOf({ resourceType: 'Observation', ...more }).map((e) => e.path).filter((p) => p.startsWith('value'))
    expect(paths({})).toEqual(['valueQuantity', 'valueCodeableConcept', 'valueString'])
    expect(paths({ valueString: 'x' })).toEqual(['valueString'])
    expect(paths({ valueBoolean: true })).toEqual([])
  })

  it('begins with the patient it is for', () => {
    expect(at(begun('Condition', 'Patient/1'), 'subject.reference')).toBe('Patient/1')
    expect(at(begun('AllergyIntolerance', 'Patient/1'), 'patient.reference')).toBe('Patient/1')
    expect(begun('Basic', 'Patient/1')).toEqual({ resourceType: 'Basic' })
  })
})

it('puts errors before warnings and leaves out that all is well', () => {
  const issue = [{ severity: 'information', details: { text: 'well' } }, { severity: 'warning', details: { text: 'w' }, expression: ['Patient.name'] }, { severity: 'error', diagnostics: 'e' }]
  expect(findingsOf({ resourceType: 'OperationOutcome', issue })).toEqual([{ severity: 'error', text: 'e', element: '' }, { severity: 'warning', text: 'w', element: 'name' }])
})

it('reports an upload so that a spreadsheet reads it and runs nothing of it', () => {
  const outcome: Outcome = { item: { file: '=a.json', n: 1, entry: {} }, result: 'failed', status: '400', at: '', version: '', why: 'say "no"' }
  expect(reportLines([outcome]).split('\r\n')[1]).toBe(`"'=a.json","1","","failed","400","","","say ""no"""`)
})
