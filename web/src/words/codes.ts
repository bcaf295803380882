import { say } from '.'

/** Codes of FHIR's status value sets in words; a code not listed is shown as it is. */
const statuses: Record<string, readonly [zh: string, en: string]> = {
  active: ['有效', 'active'],
  amended: ['已修订', 'amended'],
  appended: ['已补充', 'appended'],
  arrived: ['已到达', 'arrived'],
  cancelled: ['已取消', 'cancelled'],
  completed: ['已完成', 'completed'],
  corrected: ['已更正', 'corrected'],
  current: ['现行', 'current'],
  draft: ['草稿', 'draft'],
  'entered-in-error': ['误录', 'entered in error'],
  final: ['最终', 'final'],
  finished: ['已结束', 'finished'],
  'in-progress': ['进行中', 'in progress'],
  inactive: ['不活动', 'inactive'],
  'not-done': ['未执行', 'not done'],
  'on-hold': ['暂停', 'on hold'],
  partial: ['部分', 'partial'],
  planned: ['计划中', 'planned'],
  preliminary: ['初步', 'preliminary'],
  recurrence: ['复发', 'recurrence'],
  registered: ['已登记', 'registered'],
  relapse: ['再发', 'relapse'],
  remission: ['缓解', 'remission'],
  resolved: ['已解决', 'resolved'],
  stopped: ['已停用', 'stopped'],
  superseded: ['已被取代', 'superseded'],
  triaged: ['已分诊', 'triaged'],
  unknown: ['未知', 'unknown'],
}

export function statusWord(status: string): string {
  const words = statuses[status]
  return words ? say({ zh: words[0], en: words[1] }) : status
}

/** Codes of the short lists of a form that are no status. */
const codes: Record<string, readonly [zh: string, en: string]> = {
  AMB: ['门诊', 'ambulatory'],
  EMER: ['急诊', 'emergency'],
  HH: ['居家', 'home health'],
  IMP: ['住院', 'inpatient'],
  OBSENC: ['留观', 'observation'],
  VR: ['远程', 'virtual'],
  confirmed: ['已确认', 'confirmed'],
  differential: ['鉴别诊断', 'differential'],
  directive: ['指令', 'directive'],
  exam: ['查体', 'exam'],
  female: ['女', 'female'],
  high: ['高', 'high'],
  imaging: ['影像', 'imaging'],
  laboratory: ['检验', 'laboratory'],
  low: ['低', 'low'],
  male: ['男', 'male'],
  order: ['医嘱', 'order'],
  other: ['其他', 'other'],
  plan: ['计划', 'plan'],
  procedure: ['操作', 'procedure'],
  proposal: ['建议', 'proposal'],
  provisional: ['初步', 'provisional'],
  refuted: ['已排除', 'refuted'],
  'social-history': ['社会史', 'social history'],
  survey: ['量表', 'survey'],
  therapy: ['治疗', 'therapy'],
  'unable-to-assess': ['无法评估', 'unable to assess'],
  unconfirmed: ['未确认', 'unconfirmed'],
  'vital-signs': ['生命体征', 'vital signs'],
}

/** A code of a list in words: the house's, else the display that came with it, else the code. */
export function codeWord(code: string, display?: string): string {
  const words = codes[code] ?? statuses[code]
  return words ? say({ zh: words[0], en: words[1] }) : display || code
}
