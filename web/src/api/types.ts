/**
 * The shapes the REST door speaks. They mirror the declarations of the
 * kernel's package kind; what is optional there is optional here.
 */

export type Lang = 'zh' | 'en'

/** A sentence or title in both languages of the product. */
export interface Text {
  zh: string
  en: string
}

export type FieldType =
  | 'string'
  | 'text'
  | 'int'
  | 'decimal'
  | 'bool'
  | 'date'
  | 'time'
  | 'duration'
  | 'code'
  | 'ref'
  | 'quantity'
  | 'object'
  | 'secret'
  | 'any'

export interface Option {
  code: string
  title: Text
}

export interface Field {
  name: string
  type: FieldType
  title: Text
  help?: Text
  required?: boolean
  many?: boolean
  options?: Option[]
  to?: string[]
  fields?: Field[]
  unit?: string
  min?: string
  max?: string
  maxLen?: number
  pattern?: string
  default?: unknown
  readOnly?: boolean
}

export type ParamType =
  | 'token'
  | 'string'
  | 'words'
  | 'date'
  | 'number'
  | 'quantity'
  | 'reference'
  | 'uri'
  | 'composite'

export interface Param {
  name: string
  type: ParamType
  path?: string
  to?: string[]
  title?: Text
}

export type Tone = 'info' | 'good' | 'warn' | 'bad' | 'idle'

export interface Limit {
  after?: string
  at?: string
  calendar?: string
  remind?: string[]
  then?: string
  pause?: string
  who?: string
  rule?: Text
}

export interface State {
  name: string
  title: Text
  code?: string
  final?: boolean
  tone?: Tone
  limit?: Limit
  edit?: boolean
}

export interface Evidence {
  name: string
  type?: FieldType
  title: Text
  required?: boolean
  to?: string[]
  equals?: string
}

export interface Guard {
  if: string
  say: Text
}

export interface Verb {
  name: string
  title: Text
  from: string[]
  to: string
  guards?: Guard[]
  evidence?: Evidence[]
  input?: string[]
  set?: Record<string, string>
  primary?: boolean
  confirm?: boolean
  undo?: string
  clock?: boolean
}

export interface Lifecycle {
  field?: string
  start: string
  states: State[]
  verbs: Verb[]
}

export interface View {
  titleField?: string
  columns?: string[]
  filters?: string[]
  sort?: string
  menu?: string
  icon?: string
  order?: number
}

export interface Kind {
  name: string
  plural: string
  app: string
  title: Text
  help: Text
  /** A foreign shape such as "fhir-r4"; fields then only describe what pages show. */
  format?: string
  fields?: Field[]
  search?: Param[]
  lifecycle?: Lifecycle | null
  retain?: { years?: number; rule?: Text }
  view?: View
  /** What the signed-in person may do with the kind as such. */
  can?: string[]
}

export interface MenuSection {
  name: string
  title: Text
  icon?: string
  order?: number
}

/** The declarations one may read, and the menu made of them. */
export interface Catalogue {
  items: Kind[]
  menu: MenuSection[]
}

export type Data = Record<string, unknown>

export interface Rec {
  kind: string
  id: string
  version: number
  state?: string
  site?: string
  createdAt?: string
  updatedAt: string
  enteredAt?: string
  nextAt?: string | null
  by?: string
  data: Data
}

/** A verb as it is offered on one record now; why says what forbids it. */
export interface Offer {
  name: string
  title: Text
  primary?: boolean
  confirm?: boolean
  input?: string[]
  evidence?: Evidence[]
  allowed: boolean
  why?: string
}

export interface Detail extends Rec {
  verbs?: Offer[]
  hidden?: string[]
}

export interface Page {
  items: Rec[]
  next: string | null
  total?: number
}

export interface FieldChange {
  field: string
  from?: unknown
  to?: unknown
}

export interface Step {
  at: string
  op: string
  verb?: string
  from?: string
  state?: string
  by: string
  byName?: string
  evidence?: Data
  version: number
  changes?: FieldChange[]
}

export interface Timeline {
  steps: Step[]
  inState: { state: string; ms: number }[]
  due?: string | null
  remind?: string[] | string | null
}

export interface Referring {
  kind: string
  id: string
  title?: string
  param?: string
}

export interface Stats {
  states: { state: string; count: number }[]
  overdue: number
}

export interface SessionUser {
  id: string
  name: string
  roles: string[]
  depts: string[]
}

export interface Session {
  user: SessionUser
  mustChangePassword?: boolean
  founder?: boolean
}

export interface About {
  name: string
  version: string
  site: string
  setup: { founder: boolean }
  lang: Lang
}

/** What the pages need first, in one answer; session and catalogue are null where nobody is signed in. */
export interface Start {
  about: About
  session: Session | null
  catalogue: Catalogue | null
}

/** One committed write, as the feed tells it. */
export interface Change {
  kind: string
  id: string
  version: number
  op: string
  verb?: string
  state?: string
  at: string
  by?: string
}

export interface Found {
  kind: string
  id: string
  title: string
}

/** RFC 9457 problem details, as every refusal of the REST door is told. */
export interface Problem {
  type?: string
  title: string
  status: number
  detail?: string
  kind?: string
  path?: string
  request?: string
}
