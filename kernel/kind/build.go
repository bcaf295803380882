package kind

// Short forms for declarations: what an application writes most.

// Line is a one-line text field.
func Line(name, zh, en string) Field { return Field{Name: name, Type: String, Title: T(zh, en)} }

// Link is a required reference to one kind, named after it.
func Link(to, zh, en string) Field {
	return Field{Name: to, Type: Ref, To: []string{to}, Title: T(zh, en), Required: true}
}

// Must is the field, required.
func (f Field) Must() Field {
	f.Required = true
	return f
}

// Auto is the field, filled in by verbs and loops only.
func (f Field) Auto() Field {
	f.ReadOnly = true
	return f
}

// ByWords, ByToken and ByNumber search by the field of that name.
func ByWords(field string) Param  { return Param{Name: field, Type: WordsParam, Path: field} }
func ByToken(field string) Param  { return Param{Name: field, Type: TokenParam, Path: field} }
func ByNumber(field string) Param { return Param{Name: field, Type: NumberParam, Path: field} }
func ByDate(field string) Param   { return Param{Name: field, Type: DateParam, Path: field} }

// ByLink searches by a reference field made with Link.
func ByLink(to string) Param {
	return Param{Name: to, Type: ReferenceParam, Path: to, To: []string{to}}
}
