package people

import (
	"zhiwei/kernel"
	"zhiwei/kernel/kind"
)

// Roles that the program itself knows. All others are named by the grants of
// kinds and become role records at start.
const (
	// Founder may appoint the three administrators and nothing else; once all three
	// are appointed the role gives nothing.
	Founder = "founder"
	// SystemAdmin keeps configuration, kinds, loops, sites and tasks.
	SystemAdmin = kernel.RoleSystemAdmin
	// SecurityAdmin keeps users, roles, groups and tokens, and sees no care data and
	// no audit.
	SecurityAdmin = kernel.RoleSecurityAdmin
	// AuditAdmin reads the audit and nothing else.
	AuditAdmin = kernel.RoleAuditAdmin
	// Integration is the role of service tokens that were given none: what they may
	// do is said by their scopes.
	Integration = "integration"
)

// Administrators are the three offices that no two of which may be held by one
// person. Source: GB/T 22239-2019 §8.1.5 (system, audit and security management
// are separate).
var Administrators = []string{SystemAdmin, SecurityAdmin, AuditAdmin}

// titles are the names of roles in the two languages, for those roles that are
// not of one application alone.
var titles = map[string]kind.Text{
	Founder:                    kind.T("启用人", "Founder"),
	SystemAdmin:                kind.T("系统管理员", "System administrator"),
	SecurityAdmin:              kind.T("安全管理员", "Security administrator"),
	AuditAdmin:                 kind.T("审计管理员", "Audit administrator"),
	Integration:                kind.T("对接服务", "Integration"),
	"ops":                      kind.T("运维工程师", "Operations engineer"),
	"manager":                  kind.T("管理者", "Manager"),
	"clinician":                kind.T("临床人员", "Clinician"),
	"clinical-admin":           kind.T("临床数据管理员", "Clinical data administrator"),
	"clinical-reader":          kind.T("临床数据查阅", "Clinical reader"),
	"break-glass":              kind.T("紧急打开", "Break-glass"),
	"terminologist":            kind.T("术语管理员", "Terminologist"),
	"privacy-reviewer":         kind.T("隐私复核", "Privacy reviewer"),
	"clinical-restricted":      kind.T("查阅受限记录", "Restricted records"),
	"clinical-very-restricted": kind.T("查阅极受限记录", "Very restricted records"),
	"librarian":                kind.T("图书管理员", "Librarian"),
}
