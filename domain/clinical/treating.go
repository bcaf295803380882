package clinical

import "zhiwei/kernel/kind"

// TreatingKind is the kind that says who treats whom.
const TreatingKind = "treating"

// Treating declares the care relation: a person of the staff and a patient,
// from a day on, until it is ended. While it is active the person may open the
// patient's records (个人信息保护法 第二十八条: sensitive personal information is
// processed only for a specific purpose and where it is needed).
func Treating() kind.Kind {
	return kind.Kind{
		Name: TreatingKind, Plural: "treatings", App: Menu,
		Title: kind.T("诊疗关系", "Care relation"),
		Help:  kind.T("谁在为哪位患者诊疗；有此关系才能打开患者的记录。", "Who treats which patient; records of a patient are open to those who do."),
		Fields: []kind.Field{
			{Name: "member", Type: kind.Ref, Title: kind.T("诊疗人员", "Member of staff"), Required: true, To: []string{"user", "Practitioner", "PractitionerRole"}},
			{Name: "patient", Type: kind.Ref, Title: kind.T("患者", "Patient"), Required: true, To: []string{"Patient"}},
			{Name: "from", Type: kind.Time, Title: kind.T("开始", "From")},
			{Name: "until", Type: kind.Time, Title: kind.T("结束", "Until")},
		},
		Search: []kind.Param{
			{Name: "member", Type: kind.ReferenceParam, Path: "member", To: []string{"user", "Practitioner", "PractitionerRole"}},
			{Name: "patient", Type: kind.ReferenceParam, Path: "patient", To: []string{"Patient"}},
		},
		Access: []kind.Grant{
			{Role: RoleAdmin, Can: []string{"*"}},
			{Role: RoleClinician, Can: []string{"read", "history"}, When: kind.Own + "|" + kind.Treating},
			{Role: RoleReader, Can: []string{"read", "history"}},
		},
		Place: kind.Place{Owner: "member", Subject: "patient"},
		Lifecycle: &kind.Lifecycle{
			Start: "active",
			States: []kind.State{
				{Name: "active", Title: kind.T("诊疗中", "Active"), Tone: "good", Edit: true, Limit: &kind.Limit{
					At: `has(data.until) ? timestamp(data.until) : timestamp("9999-12-31T00:00:00Z")`, Then: "expire",
				}},
				{Name: "ended", Title: kind.T("已结束", "Ended"), Tone: "idle", Final: true},
			},
			Verbs: []kind.Verb{
				{Name: "end", Title: kind.T("结束诊疗", "End care"), From: []string{"active"}, To: "ended", Primary: true, Confirm: true, Set: map[string]string{"until": "now"}},
				{Name: "expire", Title: kind.T("到期", "Expire"), From: []string{"active"}, To: "ended", Clock: true},
			},
		},
		View: kind.View{Columns: []string{"member", "patient", "from", "until", "state"}, Filters: []string{"member", "patient", "_state"}, Menu: Menu, Icon: "Connection", Order: 200},
	}
}

// TreatingRelation tells the kernel what "treating" means.
func TreatingRelation() kind.Relation {
	return kind.Relation{Kind: TreatingKind, Member: "member", Subject: "patient", States: []string{"active"}}
}
