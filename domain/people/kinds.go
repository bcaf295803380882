package people

import (
	"encoding/json"
	"strconv"
	"strings"

	"zhiwei/kernel/kind"
)

// Kinds declares the kinds of this domain.
func Kinds() []kind.Kind {
	return []kind.Kind{userKind(), roleKind(), groupKind(), departmentKind(), organisationKind(), sessionKind(), tokenKind(), credentialKind(), policyKind(), sealKind()}
}

// Names of the kinds.
const (
	userName         = "user"
	roleName         = "role"
	groupName        = "group"
	departmentName   = "department"
	organisationName = "organisation"
	sessionName      = "session"
	tokenName        = "token"
	credentialName   = "credential"
	policyName       = "sign-in-policy"
	sealName         = "seal"
)

// States of users, sessions and tokens.
const (
	active   = "active"
	locked   = "locked"
	disabled = "disabled"
	ended    = "ended"
	revoked  = "revoked"
)

// celList writes role references as a CEL list.
func celList(roles ...string) string {
	quoted := make([]string, len(roles))
	for i, r := range roles {
		quoted[i] = strconv.Quote("role/" + r)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

var (
	offices       = celList(append([]string{Founder}, Administrators...)...)
	rolesNow      = `(has(data.roles) ? data.roles : [])`
	rolesBefore   = `(old != null && has(old.roles) ? old.roles : [])`
	securityAdmin = []string{SecurityAdmin}
)

// loginForm is what a user name may look like: easy to type, say and print.
const loginForm = `[a-z0-9][a-z0-9._-]{1,31}`

func userKind() kind.Kind {
	return kind.Kind{
		Name: userName, Plural: "users", App: "people", Title: kind.T("用户", "User"),
		Help: kind.T("可以登录本系统的人。", "A person who may sign in."),
		Fields: []kind.Field{
			{Name: "name", Type: kind.String, Title: kind.T("姓名", "Name"), Required: true, MaxLen: 100},
			{Name: "login", Type: kind.String, Title: kind.T("用户名", "User name"), Help: kind.T("2–32 个小写字母、数字、点、横线或下划线", "2–32 lower-case letters, digits, dots, hyphens or underscores"), Required: true, Pattern: loginForm},
			{Name: "title", Type: kind.String, Title: kind.T("职务", "Position"), MaxLen: 100},
			{Name: "phone", Type: kind.String, Title: kind.T("电话", "Telephone"), MaxLen: 40},
			{Name: "person", Type: kind.Ref, Title: kind.T("对应的医护人员", "Practitioner"), To: []string{"Practitioner", "PractitionerRole", "Patient", "RelatedPerson"}},
			{Name: "roles", Type: kind.Ref, Title: kind.T("角色", "Roles"), To: []string{roleName}, Many: true},
			{Name: "departments", Type: kind.Ref, Title: kind.T("科室", "Departments"), To: []string{departmentName}, Many: true},
			{Name: "organisations", Type: kind.Ref, Title: kind.T("机构", "Organisations"), To: []string{organisationName}, Many: true},
			{Name: "lockedUntil", Type: kind.Time, Title: kind.T("锁定至", "Locked until"), ReadOnly: true},
		},
		Search: []kind.Param{
			{Name: "name", Type: kind.WordsParam, Path: "name"},
			{Name: "login", Type: kind.TokenParam, Path: "login"},
			{Name: "role", Type: kind.ReferenceParam, Path: "roles", To: []string{roleName}},
			{Name: "department", Type: kind.ReferenceParam, Path: "departments", To: []string{departmentName}},
			{Name: "organisation", Type: kind.ReferenceParam, Path: "organisations", To: []string{organisationName}},
			{Name: "person", Type: kind.ReferenceParam, Path: "person", To: []string{"Practitioner", "PractitionerRole", "Patient", "RelatedPerson"}},
		},
		// Everybody may look a colleague's name up; accounts are the security
		// administrator's.
		Access: []kind.Grant{
			{Role: "*", Can: []string{"read"}},
			{Role: SecurityAdmin, Can: []string{"*"}},
		},
		Hide: []kind.Hidden{
			{Field: "login", Except: securityAdmin},
			{Field: "roles", Except: securityAdmin},
			{Field: "lockedUntil", Except: securityAdmin},
			{Field: "phone", Except: securityAdmin},
		},
		Guards: []kind.Guard{
			{If: `old == null || old.login == data.login`, Say: kind.T("用户名定下后不能更改；请停用此账号并新建一个。", "A user name cannot change; disable this account and create another.")},
			{If: `count("user", "login=" + data.login) <= (old == null ? 0 : 1)`, Say: kind.T("这个用户名已有人使用，请换一个。", "This user name is taken; choose another.")},
			{If: `actor.id != "user/" + id || ` + rolesNow + `.all(r, r in ` + rolesBefore + `)`, Say: kind.T("不能给自己增加角色；请由另一位安全管理员来做。", "Nobody may give himself a role; ask another security administrator.")},
			{If: rolesNow + `.size() <= 1 || !` + rolesNow + `.exists(r, r in ` + offices + `)`, Say: kind.T("系统、安全、审计管理员的账号只能有这一个角色；此人另有工作时请另建账号。", "The account of a system, security or audit administrator holds that role alone; give this person a second account for other work.")},
			{If: `!("role/founder" in ` + rolesNow + `) || "role/founder" in ` + rolesBefore + ` || actor.id == "system"`, Say: kind.T("“启用人”角色只在首次启动时产生，不能授予。", "The founder's role exists from the first start only and cannot be given.")},
			{If: `!actor.id.startsWith("token/") || !(` + rolesNow + ` + ` + rolesBefore + `).exists(r, r in ` + offices + `)`, Say: kind.T("服务令牌不能任命或更改管理员；请由安全管理员登录后来做。", "A service token may not appoint or change administrators; a security administrator must sign in to do this.")},
		},
		Lifecycle: &kind.Lifecycle{
			Start: active,
			States: []kind.State{
				{Name: active, Title: kind.T("在用", "Active"), Tone: "good", Edit: true},
				{Name: locked, Title: kind.T("已锁定", "Locked"), Tone: "warn", Edit: true, Limit: &kind.Limit{
					At: `timestamp(data.lockedUntil)`, Then: "release",
					Rule: kind.T("GB/T 22239-2019 8.1.4.1 b）登录失败处理", "GB/T 22239-2019 §8.1.4.1 b), handling of failed sign-ins"),
				}},
				{Name: disabled, Title: kind.T("已停用", "Disabled"), Tone: "idle"},
			},
			Verbs: []kind.Verb{
				{Name: "lock", Title: kind.T("锁定", "Lock"), From: []string{active}, To: locked, Input: []string{"lockedUntil"}, Clock: true},
				{Name: "release", Title: kind.T("到时解锁", "Release"), From: []string{locked}, To: active, Clock: true},
				{Name: "unlock", Title: kind.T("解锁", "Unlock"), From: []string{locked}, To: active, Primary: true, Evidence: []kind.Evidence{{Name: "reason", Title: kind.T("核实情况", "How it was verified"), Required: true}}},
				{Name: "disable", Title: kind.T("停用", "Disable"), From: []string{active, locked}, To: disabled, Confirm: true, Undo: "enable", Evidence: []kind.Evidence{{Name: "reason", Title: kind.T("原因", "Reason"), Required: true}}, Guards: []kind.Guard{
					{If: `actor.id != "user/" + id`, Say: kind.T("不能停用自己的账号。", "Nobody may disable his own account.")},
					{If: `!("role/security-admin" in ` + rolesNow + `) || count("user", "role=role/security-admin&_state=active") > 1`, Say: kind.T("这是最后一位安全管理员；请先任命继任者。", "This is the last security administrator; appoint a successor first.")},
				}},
				{Name: "enable", Title: kind.T("启用", "Enable"), From: []string{disabled}, To: active, Primary: true, Undo: "disable", Evidence: []kind.Evidence{{Name: "reason", Title: kind.T("原因", "Reason"), Required: true}}},
			},
		},
		View: kind.View{TitleField: "name", Columns: []string{"name", "login", "title", "roles", "departments", "state", "updatedAt"}, Filters: []string{"name", "login", "role", "department", "_state"}, Sort: "name", Menu: "people", Icon: "User", Order: 1},
	}
}

func roleKind() kind.Kind {
	return kind.Kind{
		Name: roleName, Plural: "roles", App: "people", Title: kind.T("角色", "Role"),
		Help: kind.T("一组权限的名字；权限写在各类记录的声明里。", "A name for a set of permissions, which the declarations of kinds give to it."),
		Fields: []kind.Field{
			{Name: "name", Type: kind.String, Title: kind.T("名称", "Name"), Required: true, MaxLen: 100},
			{Name: "english", Type: kind.String, Title: kind.T("英文名称", "English name"), MaxLen: 100},
			{Name: "inherits", Type: kind.Ref, Title: kind.T("包含的角色", "Includes"), To: []string{roleName}, Many: true},
			{Name: "note", Type: kind.Markdown, Title: kind.T("说明", "Note")},
		},
		Search: []kind.Param{
			{Name: "name", Type: kind.WordsParam, Path: "name"},
			{Name: "english", Type: kind.WordsParam, Path: "english"},
			{Name: "inherits", Type: kind.ReferenceParam, Path: "inherits", To: []string{roleName}},
		},
		Access: []kind.Grant{
			{Role: "*", Can: []string{"read"}},
			{Role: SecurityAdmin, Can: []string{"*"}},
		},
		Guards: []kind.Guard{
			{If: `!has(data.inherits) || !data.inherits.exists(r, r in ` + offices + `)`, Say: kind.T("系统、安全、审计管理员不能被别的角色包含。", "No role may include that of an administrator.")},
			{If: `!(("role/" + id) in ` + offices + `) || !has(data.inherits) || data.inherits.size() == 0`, Say: kind.T("管理员角色不能包含别的角色。", "The role of an administrator may not include others.")},
			{If: `old == null || !actor.id.startsWith("user/") || !(id in actor.roles) || (has(data.inherits) ? data.inherits : []) == (has(old.inherits) ? old.inherits : [])`, Say: kind.T("不能给自己拥有的角色加权限；请由另一位安全管理员来做。", "Nobody may widen a role he holds himself; ask another security administrator.")},
			{If: `!actor.id.startsWith("token/") || !(("role/" + id) in ` + offices + `)`, Say: kind.T("服务令牌不能更改管理员角色。", "A service token may not change the role of an administrator.")},
		},
		View: kind.View{TitleField: "name", Columns: []string{"name", "english", "inherits", "updatedAt"}, Filters: []string{"name"}, Sort: "name", Menu: "people", Icon: "Key", Order: 3},
	}
}

func groupKind() kind.Kind {
	return kind.Kind{
		Name: groupName, Plural: "groups", App: "people", Title: kind.T("用户组", "Group"),
		Help: kind.T("一起获得角色的一些人，例如一个班组。", "People who receive roles together, such as a team."),
		Fields: []kind.Field{
			{Name: "name", Type: kind.String, Title: kind.T("名称", "Name"), Required: true, MaxLen: 100},
			{Name: "members", Type: kind.Ref, Title: kind.T("成员", "Members"), To: []string{userName}, Many: true},
			{Name: "roles", Type: kind.Ref, Title: kind.T("角色", "Roles"), To: []string{roleName}, Many: true},
		},
		Search: []kind.Param{
			{Name: "name", Type: kind.WordsParam, Path: "name"},
			{Name: "member", Type: kind.ReferenceParam, Path: "members", To: []string{userName}},
			{Name: "role", Type: kind.ReferenceParam, Path: "roles", To: []string{roleName}},
		},
		Access: []kind.Grant{{Role: SecurityAdmin, Can: []string{"*"}}},
		Guards: []kind.Guard{
			{If: `!` + rolesNow + `.exists(r, r in ` + offices + `)`, Say: kind.T("管理员角色只能逐人授予，不能经用户组授予。", "The roles of administrators are given to persons one by one, not through groups.")},
			{If: `!(has(data.members) && actor.id in data.members) || (old != null && has(old.members) && actor.id in old.members && ` + rolesNow + ` == ` + rolesBefore + `)`, Say: kind.T("不能经用户组给自己授予角色；请由另一位安全管理员来做。", "Nobody may give himself roles through a group; ask another security administrator.")},
		},
		View: kind.View{TitleField: "name", Columns: []string{"name", "members", "roles", "updatedAt"}, Filters: []string{"name", "member", "role"}, Sort: "name", Menu: "people", Icon: "Avatar", Order: 2},
	}
}

func departmentKind() kind.Kind {
	return kind.Kind{
		Name: departmentName, Plural: "departments", App: "people", Title: kind.T("科室", "Department"),
		Help: kind.T("人员工作、记录归属的科室或部门。", "Where people work and records belong."),
		Fields: []kind.Field{
			{Name: "name", Type: kind.String, Title: kind.T("名称", "Name"), Required: true, MaxLen: 100},
			{Name: "code", Type: kind.String, Title: kind.T("代码", "Code"), MaxLen: 40},
			{Name: "parent", Type: kind.Ref, Title: kind.T("上级科室", "Part of"), To: []string{departmentName}},
			{Name: "organisation", Type: kind.Ref, Title: kind.T("机构", "Organisation"), To: []string{organisationName}},
			{Name: "phone", Type: kind.String, Title: kind.T("电话", "Telephone"), MaxLen: 40},
		},
		Search: []kind.Param{
			{Name: "name", Type: kind.WordsParam, Path: "name"},
			{Name: "code", Type: kind.TokenParam, Path: "code"},
			{Name: "parent", Type: kind.ReferenceParam, Path: "parent", To: []string{departmentName}},
			{Name: "organisation", Type: kind.ReferenceParam, Path: "organisation", To: []string{organisationName}},
		},
		Access: []kind.Grant{
			{Role: "*", Can: []string{"read"}},
			{Role: SystemAdmin, Can: []string{"*"}},
		},
		Guards: []kind.Guard{
			{If: `!has(data.parent) || data.parent != "department/" + id`, Say: kind.T("科室不能是自己的上级。", "A department cannot be part of itself.")},
		},
		View: kind.View{TitleField: "name", Columns: []string{"name", "code", "parent", "organisation", "phone"}, Filters: []string{"name", "code", "organisation"}, Sort: "name", Menu: "people", Icon: "OfficeBuilding", Order: 4},
	}
}

func organisationKind() kind.Kind {
	return kind.Kind{
		Name: organisationName, Plural: "organisations", App: "people", Title: kind.T("机构", "Organisation"),
		Help: kind.T("医院、院区、乡镇卫生院等独立机构。", "A hospital, campus, township clinic or other body of its own."),
		Fields: []kind.Field{
			{Name: "name", Type: kind.String, Title: kind.T("名称", "Name"), Required: true, MaxLen: 200},
			{Name: "code", Type: kind.String, Title: kind.T("机构代码", "Code"), MaxLen: 40},
			{Name: "parent", Type: kind.Ref, Title: kind.T("上级机构", "Part of"), To: []string{organisationName}},
		},
		Search: []kind.Param{
			{Name: "name", Type: kind.WordsParam, Path: "name"},
			{Name: "code", Type: kind.TokenParam, Path: "code"},
			{Name: "parent", Type: kind.ReferenceParam, Path: "parent", To: []string{organisationName}},
		},
		Access: []kind.Grant{
			{Role: "*", Can: []string{"read"}},
			{Role: SystemAdmin, Can: []string{"*"}},
		},
		View: kind.View{TitleField: "name", Columns: []string{"name", "code", "parent", "updatedAt"}, Filters: []string{"name", "code"}, Sort: "name", Menu: "people", Icon: "School", Order: 5},
	}
}

func sessionKind() kind.Kind {
	return kind.Kind{
		Name: sessionName, Plural: "sessions", App: "people", Title: kind.T("登录会话", "Session"),
		Help: kind.T("一次登录，到期、闲置过久或退出时结束。", "One sign-in; it ends by time, by idleness or by signing out."),
		Fields: []kind.Field{
			{Name: "user", Type: kind.Ref, Title: kind.T("用户", "User"), To: []string{userName}, Required: true, ReadOnly: true},
			{Name: "hash", Type: kind.String, Title: kind.T("校验值", "Hash"), Required: true, ReadOnly: true},
			{Name: "expires", Type: kind.Time, Title: kind.T("最晚结束", "Ends at the latest"), Required: true, ReadOnly: true},
			{Name: "seen", Type: kind.Time, Title: kind.T("最近活动", "Last seen"), Required: true, ReadOnly: true},
			{Name: "remote", Type: kind.String, Title: kind.T("网络地址", "Address"), ReadOnly: true},
			{Name: "agent", Type: kind.String, Title: kind.T("浏览器", "Browser"), ReadOnly: true},
		},
		Search: []kind.Param{
			{Name: "user", Type: kind.ReferenceParam, Path: "user", To: []string{userName}},
			{Name: "seen", Type: kind.DateParam, Path: "seen"},
			{Name: "expires", Type: kind.DateParam, Path: "expires"},
		},
		Place: kind.Place{Owner: "user"},
		Access: []kind.Grant{
			{Role: "*", Can: []string{"read", "end"}, When: kind.Own},
			{Role: SecurityAdmin, Can: []string{"read", "history", "end"}},
		},
		Hide: []kind.Hidden{{Field: "hash"}},
		Lifecycle: &kind.Lifecycle{
			Start: active,
			States: []kind.State{
				{Name: active, Title: kind.T("进行中", "Open"), Tone: "good", Edit: true},
				{Name: ended, Title: kind.T("已结束", "Ended"), Tone: "idle", Final: true},
			},
			Verbs: []kind.Verb{{Name: "end", Title: kind.T("结束会话", "End"), From: []string{active}, To: ended, Primary: true, Confirm: true}},
		},
		View: kind.View{TitleField: "user", Columns: []string{"user", "remote", "seen", "expires", "state"}, Filters: []string{"user", "_state", "seen"}, Menu: "people", Icon: "Monitor", Order: 7},
	}
}

func tokenKind() kind.Kind {
	return kind.Kind{
		Name: tokenName, Plural: "tokens", App: "people", Title: kind.T("服务令牌", "Service token"),
		Help: kind.T("别的程序访问本系统用的凭证；只在创建时显示一次。", "What another program signs in with; shown once, when it is made."),
		Fields: []kind.Field{
			{Name: "name", Type: kind.String, Title: kind.T("名称", "Name"), Required: true, MaxLen: 100, ReadOnly: true},
			{Name: "hash", Type: kind.String, Title: kind.T("校验值", "Hash"), Required: true, ReadOnly: true},
			{Name: "scopes", Type: kind.String, Title: kind.T("范围", "Scopes"), Help: kind.T("SMART 范围，例如 system/Patient.rs", "a SMART scope such as system/Patient.rs"), Many: true, Required: true, ReadOnly: true},
			{Name: "purpose", Type: kind.String, Title: kind.T("使用目的", "Purpose of use"), Help: kind.T("HL7 PurposeOfUse 代码，例如 TREAT", "an HL7 PurposeOfUse code such as TREAT"), Required: true, ReadOnly: true, MaxLen: 40},
			{Name: "patient", Type: kind.String, Title: kind.T("患者", "Patient"), Help: kind.T("patient/… 范围所指的患者", "the one patient that scopes patient/… are about"), ReadOnly: true, MaxLen: 80},
			{Name: "roles", Type: kind.Ref, Title: kind.T("角色", "Roles"), To: []string{roleName}, Many: true, ReadOnly: true},
			{Name: "expires", Type: kind.Time, Title: kind.T("到期", "Expires"), ReadOnly: true},
		},
		Search: []kind.Param{
			{Name: "name", Type: kind.WordsParam, Path: "name"},
			{Name: "purpose", Type: kind.TokenParam, Path: "purpose"},
			{Name: "expires", Type: kind.DateParam, Path: "expires"},
		},
		Access: []kind.Grant{{Role: SecurityAdmin, Can: []string{"read", "history", "revoke"}}},
		Hide:   []kind.Hidden{{Field: "hash"}},
		Lifecycle: &kind.Lifecycle{
			Start: active,
			States: []kind.State{
				{Name: active, Title: kind.T("有效", "Active"), Tone: "good"},
				{Name: revoked, Title: kind.T("已吊销", "Revoked"), Tone: "bad", Final: true},
			},
			Verbs: []kind.Verb{{Name: "revoke", Title: kind.T("吊销", "Revoke"), From: []string{active}, To: revoked, Primary: true, Confirm: true, Evidence: []kind.Evidence{{Name: "reason", Title: kind.T("原因", "Reason"), Required: true}}}},
		},
		View: kind.View{TitleField: "name", Columns: []string{"name", "scopes", "purpose", "expires", "state"}, Filters: []string{"name", "_state"}, Menu: "people", Icon: "Connection", Order: 6},
	}
}

// credentialKind holds what proves who a user is, apart from the user, so that
// no form, list or export of users can ever touch it. Nobody is granted
// anything on it: only this package reads and writes it.
func credentialKind() kind.Kind {
	return kind.Kind{
		Name: credentialName, Plural: "credentials", App: "people", Title: kind.T("登录凭据", "Credential"),
		Help: kind.T("密码的校验值；任何人都看不到。", "The hash of a password; nobody sees it."),
		Fields: []kind.Field{
			{Name: "hash", Type: kind.String, Title: kind.T("校验值", "Hash"), Required: true, ReadOnly: true},
			{Name: "oneTime", Type: kind.Bool, Title: kind.T("首次登录须更改", "To be changed"), ReadOnly: true},
			{Name: "expires", Type: kind.Time, Title: kind.T("到期", "Expires"), ReadOnly: true},
		},
		Hide: []kind.Hidden{{Field: "hash"}},
	}
}

// sealKind holds the keys with which doors seal what they hand out and must know
// again, in every process and after a restart. Nobody is granted anything on it.
func sealKind() kind.Kind {
	return kind.Kind{
		Name: sealName, Plural: "seals", App: "people", Title: kind.T("封印密钥", "Seal"),
		Help:   kind.T("各接口封存游标用的密钥；任何人都看不到。", "A key with which a door seals its cursors; nobody sees it."),
		Fields: []kind.Field{{Name: "key", Type: kind.String, Title: kind.T("密钥", "Key"), Required: true, ReadOnly: true}},
		Hide:   []kind.Hidden{{Field: "key"}},
	}
}

func policyKind() kind.Kind {
	minutes := func(name, zh, en string, minimum, maximum int, def json.Number) kind.Field {
		return kind.Field{Name: name, Type: kind.Int, Title: kind.T(zh, en), Required: true, Min: strconv.Itoa(minimum), Max: strconv.Itoa(maximum), Default: def}
	}
	return kind.Kind{
		Name: policyName, Plural: "sign-in-policies", App: "people", Title: kind.T("登录规则", "Sign-in policy"),
		Help: kind.T("登录失败几次锁定、会话多久结束。", "After how many failures an account is locked, and how long a session lasts."),
		// Defaults and bounds: GB/T 22239-2019 §8.1.4.1 b) asks for all of these and
		// leaves the numbers to the operator; the defaults are the issue's.
		Fields: []kind.Field{
			minutes("failures", "连续失败几次后锁定", "Failures before the lock", 3, 10, "5"),
			minutes("lockMinutes", "锁定（分钟）", "Lock (minutes)", 5, 1440, "15"),
			minutes("idleMinutes", "闲置多久后结束会话（分钟）", "Idle end of a session (minutes)", 5, 720, "30"),
			minutes("sessionHours", "会话最长（小时）", "Longest session (hours)", 1, 24, "12"),
			minutes("passwordLength", "密码最短（字符）", "Shortest password (characters)", 8, 64, "10"),
			minutes("oneTimeHours", "一次性密码有效（小时）", "One-time password valid (hours)", 1, 720, "72"),
		},
		Access: []kind.Grant{{Role: SecurityAdmin, Can: []string{"read", "history", "update"}}},
		View:   kind.View{Columns: []string{"failures", "lockMinutes", "idleMinutes", "sessionHours", "passwordLength"}, Menu: "people", Icon: "Lock", Order: 8},
	}
}
