package clinical

import "zhiwei/kernel/kind"

// BreakGlassKind is the kind of an emergency opening of one patient's records.
const BreakGlassKind = "break-glass"

// How long an opening lasts, in minutes: where none is asked for, and at most.
// Source: four hours is half a shift, a day the longest before somebody else
// must decide; both are the house's own and may be narrowed by a profile.
const (
	BreakGlassMinutes    = 240
	BreakGlassMaxMinutes = 1440
)

// BreakGlass declares the opening: who, whose records, why and until when. While
// it is open and its time is not over, the member sees the patient's records as
// if treating, whatever the patient's consents deny and however confidential the
// records are. When the time is over, or the member closes it, it waits for its
// review by somebody else. Source: IHE ITI TF-1 on break-glass; 个人信息保护法
// 第十三条第四项 (emergencies to protect life and health).
func BreakGlass() kind.Kind {
	return kind.Kind{
		Name: BreakGlassKind, Plural: "break-glass", App: Menu,
		Title: kind.T("紧急打开", "Break-glass opening"),
		Help:  kind.T("因紧急情况打开非本人诊疗患者的记录；须写明理由，限时，事后复核。", "Records of a patient one does not treat, opened in an emergency: for a stated reason, for a time, reviewed afterwards."),
		Fields: []kind.Field{
			{Name: "member", Type: kind.Ref, Title: kind.T("打开人", "Opened by"), Required: true, To: []string{"user"}},
			{Name: "patient", Type: kind.Ref, Title: kind.T("患者", "Patient"), Required: true, To: []string{"Patient"}},
			{Name: "reason", Type: kind.Markdown, Title: kind.T("理由", "Reason"), Required: true, MaxLen: 500},
			{Name: "from", Type: kind.Time, Title: kind.T("开始", "From"), Required: true},
			{Name: "until", Type: kind.Time, Title: kind.T("截止", "Until"), Required: true},
			{Name: "finding", Type: kind.Markdown, Title: kind.T("复核意见", "Finding"), MaxLen: 2000, ReadOnly: true},
		},
		Search: []kind.Param{
			{Name: "member", Type: kind.ReferenceParam, Path: "member", To: []string{"user"}},
			{Name: "patient", Type: kind.ReferenceParam, Path: "patient", To: []string{"Patient"}},
			{Name: "from", Type: kind.DateParam, Path: "from"},
			{Name: "until", Type: kind.DateParam, Path: "until"},
		},
		Access: []kind.Grant{
			{Role: RoleBreakGlass, Can: []string{"create", "read", "history", "close"}, When: kind.Own},
			{Role: RoleReviewer, Can: []string{"read", "history", "approve", "object"}},
		},
		Guards: []kind.Guard{
			{If: `old != null || data.member == actor.id`, Say: kind.T("只能为自己打开。", "You can open records for yourself only.")},
			{If: `old != null || timestamp(data.from) <= now && timestamp(data.until) > now && timestamp(data.until) <= now + duration("24h")`, Say: kind.T("打开从现在开始，最长 24 小时。", "An opening begins now and lasts 24 hours at most.")},
		},
		Place: kind.Place{Owner: "member", Subject: "patient"},
		Lifecycle: &kind.Lifecycle{
			Start: "open",
			States: []kind.State{
				{Name: "open", Title: kind.T("已打开", "Open"), Tone: "warn", Limit: &kind.Limit{At: `timestamp(data.until)`, Then: "expire"}},
				{Name: "ended", Title: kind.T("待复核", "To be reviewed"), Tone: "info", Limit: &kind.Limit{
					After: "72h", Remind: []string{"72h"}, Who: RoleReviewer,
					Rule: kind.T("紧急打开的记录应在三日内由他人复核。", "An emergency opening is reviewed by somebody else within three days."),
				}},
				{Name: "justified", Title: kind.T("理由成立", "Justified"), Tone: "good", Final: true},
				{Name: "unjustified", Title: kind.T("理由不成立", "Not justified"), Tone: "bad", Final: true},
			},
			Verbs: []kind.Verb{
				{Name: "close", Title: kind.T("提前结束", "Close"), From: []string{"open"}, To: "ended", Primary: true, Confirm: true},
				{Name: "expire", Title: kind.T("到时结束", "Expire"), From: []string{"open"}, To: "ended", Clock: true},
				{Name: "approve", Title: kind.T("理由成立", "Approve"), From: []string{"ended"}, To: "justified", Primary: true, Guards: byAnother, Evidence: finding, Set: map[string]string{"finding": "evidence.finding"}},
				{Name: "object", Title: kind.T("理由不成立", "Object"), From: []string{"ended"}, To: "unjustified", Guards: byAnother, Evidence: finding, Set: map[string]string{"finding": "evidence.finding"}, Confirm: true},
			},
		},
		View: kind.View{TitleField: "reason", Columns: []string{"member", "patient", "reason", "until", "state"}, Filters: []string{"member", "patient", "_state"}, Sort: "-from", Menu: Menu, Icon: "Unlock", Order: 210},
	}
}

var (
	byAnother = []kind.Guard{{If: `data.member != actor.id`, Say: kind.T("不能复核自己的打开；请由他人复核。", "Nobody reviews his own opening; have somebody else do it.")}}
	finding   = []kind.Evidence{{Name: "finding", Title: kind.T("复核意见", "Finding"), Required: true}}
)
