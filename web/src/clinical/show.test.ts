import { beforeEach, describe, expect, it } from 'vitest'
import { setLang } from '../words'
import { age, anything, choice, concept, date, humanName, observed, period, quantity, status, what, when } from './show'

beforeEach(() => setLang('zh'))

describe('a name', () => {
  it('is written family first without spaces in Chinese, given first elsewhere', () => {
    expect(humanName({ family: '示例', given: ['患者'] })).toBe('示例患者')
    expect(humanName({ prefix: ['Dr.'], family: 'Smith', given: ['Anna', 'B.'] })).toBe('Dr. Anna B. Smith')
    expect(humanName({ text: '欧阳 示例', family: '欧阳' })).toBe('欧阳 示例')
    expect(humanName(undefined)).toBe('')
  })
})

describe('an age', () => {
  it.each([
    ['1980-05-20', '2026-05-19', '45 岁'],
    ['1980-05-20', '2026-05-20', '46 岁'],
    ['2024-12-01', '2026-05-20', '17 个月'],
    ['2026-05-01', '2026-05-20', '19 天'],
    ['1980', '2026-05-20', '46 岁'],
    ['', '2026-05-20', ''],
    ['2027-01-01', '2026-05-20', ''],
  ])('of %s at %s is %s', (birth, at, want) => expect(age(birth, at)).toBe(want))
})

describe('data types', () => {
  it('are read by what they are', () => {
    expect(concept({ coding: [{ code: 'a' }, { code: 'b', display: '乙' }] })).toBe('乙')
    expect(concept({ text: '高血压', coding: [{ display: 'x' }] })).toBe('高血压')
    expect(quantity({ comparator: '<', value: 5.4, unit: 'mmol/L' })).toBe('<5.4 mmol/L')
    expect(quantity({ unit: 'mmol/L' })).toBe('')
    expect(anything({ value: { rawJSON: '5.40' }, unit: 'mmol/L' })).toBe('5.40 mmol/L')
    expect(date('2021-03')).toBe('2021-03')
    expect(period({ start: '2021-03-01' })).toBe('2021-03-01 – 至今')
    expect(anything([{ text: '甲' }, { display: '乙', code: 'b', system: 's' }])).toBe('甲、乙')
    expect(anything({ numerator: { value: 1, unit: 'mg' }, denominator: { value: 2, unit: 'mL' } })).toBe('1 mg / 2 mL')
    expect(anything({ unheard: 1 })).toBe('')
    expect(choice({ valueString: 'x', valuation: 1 }, 'value')).toBe('x')
  })
})

describe('a resource', () => {
  it('says what it is, when and how it stands', () => {
    const bp = {
      resourceType: 'Observation',
      status: 'final',
      code: { text: '血压' },
      effectiveDateTime: '2021-03-04T08:00:00Z',
      component: [
        { code: { text: '收缩压' }, valueQuantity: { value: 120, unit: 'mmHg' } },
        { code: { text: '舒张压' }, valueQuantity: { value: 80, unit: 'mmHg' } },
      ],
    }
    expect(what(bp)).toBe('血压')
    expect(when(bp)).toBe('2021-03-04T08:00:00Z')
    expect(observed(bp)).toBe('收缩压 120 mmHg、舒张压 80 mmHg')
    expect(status({ resourceType: 'Condition', clinicalStatus: { coding: [{ code: 'active' }] } })).toBe('active')
    expect(what({ resourceType: 'Basic', id: '7' })).toBe('Basic/7')
  })
})
