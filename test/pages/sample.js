// One patient who is visibly a sample, as a FHIR transaction: what the clinical pages are walked with.

const loinc = 'http://loinc.org'
const ucum = 'http://unitsofmeasure.org'
const clinical = 'http://terminology.hl7.org/CodeSystem/condition-clinical'
const verified = 'http://terminology.hl7.org/CodeSystem/condition-ver-status'
export const patientID = 'sample-patient'
const subject = { reference: `Patient/${patientID}`, display: '示例患者' }

const coded = (system, code, display) => ({ coding: [{ system, code, display }], text: display })

function measured(id, category, [code, name], at, value, unit, range) {
  return {
    resourceType: 'Observation', id, status: 'final', subject, effectiveDateTime: at, code: coded(loinc, code, name),
    category: [coded('http://terminology.hl7.org/CodeSystem/observation-category', category, category)],
    valueQuantity: { value, unit, system: ucum, code: unit },
    ...(range ? { referenceRange: [{ low: { value: range[0], unit }, high: { value: range[1], unit } }] } : {}),
  }
}

function pressure(id, at, systolic, diastolic) {
  const part = (code, name, value) => ({ code: coded(loinc, code, name), valueQuantity: { value, unit: 'mmHg', system: ucum, code: 'mm[Hg]' } })
  return {
    resourceType: 'Observation', id, status: 'final', subject, effectiveDateTime: at, code: coded(loinc, '85354-9', '血压'),
    category: [coded('http://terminology.hl7.org/CodeSystem/observation-category', 'vital-signs', 'Vital Signs')],
    component: [part('8480-6', '收缩压', systolic), part('8462-4', '舒张压', diastolic)],
  }
}

/** The resources of the sample patient, in an order in which each is there before it is referred to. */
export function resources() {
  const months = ['2025-11', '2026-01', '2026-03', '2026-05', '2026-07', '2026-09']
  return [
    {
      resourceType: 'Patient', id: patientID, active: true, gender: 'female', birthDate: '1958-04-12',
      name: [{ use: 'official', family: '示例', given: ['患者'], text: '示例患者' }],
      identifier: [
        { type: { text: '病历号' }, system: 'https://hospital.example/mrn', value: 'SAMPLE-0001' },
        { type: { text: '健康卡' }, system: 'https://hospital.example/card', value: 'SAMPLE-CARD-1' },
      ],
    },
    {
      resourceType: 'AllergyIntolerance', id: 'sample-allergy', patient: subject, criticality: 'high', recordedDate: '2020-02-02', code: { text: '青霉素' },
      clinicalStatus: coded('http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical', 'active', 'Active'),
      verificationStatus: coded('http://terminology.hl7.org/CodeSystem/allergyintolerance-verification', 'confirmed', 'Confirmed'),
    },
    ...[['sample-diabetes', '2 型糖尿病', '2015-06-01'], ['sample-pressure', '高血压', '2012-03-10']].map(([id, name, at]) => ({
      resourceType: 'Condition', id, subject, recordedDate: at, onsetDateTime: at, code: { text: name },
      clinicalStatus: coded(clinical, 'active', 'Active'), verificationStatus: coded(verified, 'confirmed', 'Confirmed'),
    })),
    {
      resourceType: 'MedicationRequest', id: 'sample-metformin', status: 'active', intent: 'order', subject, authoredOn: '2026-09-01T08:30:00+08:00',
      medicationCodeableConcept: { text: '二甲双胍片 0.5 g' }, dosageInstruction: [{ text: '口服，一次 0.5 g，一日 2 次' }],
    },
    {
      resourceType: 'Encounter', id: 'sample-visit', status: 'finished', subject, period: { start: '2026-09-01T08:00:00+08:00', end: '2026-09-01T09:00:00+08:00' },
      class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'AMB', display: '门诊' }, type: [{ text: '内分泌科复诊' }],
    },
    ...months.map((m, i) => measured(`sample-glucose-${i}`, 'laboratory', ['2345-7', '葡萄糖'], `${m}-03T07:30:00+08:00`, [7.8, 7.2, 6.9, 7.4, 6.5, 6.8][i], 'mmol/L', [3.9, 6.1])),
    ...months.map((m, i) => measured(`sample-hba1c-${i}`, 'laboratory', ['4548-4', '糖化血红蛋白'], `${m}-03T07:30:00+08:00`, [8.1, 7.6, 7.3, 7.1, 6.9, 6.8][i], '%', [4, 6])),
    ...months.map((m, i) => pressure(`sample-bp-${i}`, `${m}-03T08:00:00+08:00`, [152, 146, 140, 138, 136, 134][i], [94, 90, 88, 86, 84, 82][i])),
    {
      resourceType: 'Immunization', id: 'sample-flu', status: 'completed', patient: subject, occurrenceDateTime: '2025-10-20', vaccineCode: { text: '流感疫苗' },
    },
    {
      resourceType: 'DiagnosticReport', id: 'sample-report', status: 'final', subject, effectiveDateTime: '2026-09-03T07:30:00+08:00', issued: '2026-09-03T11:00:00+08:00',
      code: { text: '生化全套' }, conclusion: '空腹血糖略高', result: [{ reference: 'Observation/sample-glucose-5' }],
    },
    {
      resourceType: 'DocumentReference', id: 'sample-document', status: 'current', subject, date: '2026-09-01T09:10:00+08:00', type: { text: '门诊病历' },
      content: [{ attachment: { contentType: 'text/plain', data: Buffer.from('示例病历').toString('base64') } }],
    },
  ]
}

export function transaction() {
  return { resourceType: 'Bundle', type: 'transaction', entry: resources().map((resource) => ({ resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` } })) }
}
