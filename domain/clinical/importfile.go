package clinical

import "zhiwei/kernel/kind"

// ImportFileKind is the kind that says which files have been imported. A file
// is known by what it holds, not by its name, so its record's id is derived from
// the hash of its content and a file is never imported twice.
const ImportFileKind = "import-file"

// ImportFile declares the record of one imported file. It is written in the
// transactions of the file's resources, so it says exactly how many of them are
// there: all of them once done equals total.
func ImportFile() kind.Kind {
	return kind.Kind{
		Name: ImportFileKind, Plural: "import-files", App: Menu,
		Title: kind.T("导入文件", "Imported file"),
		Help:  kind.T("已导入的文件及其中的资源数量。", "Files that were imported, and how many resources they held."),
		Fields: []kind.Field{
			{Name: "name", Type: kind.String, Title: kind.T("文件名", "File name"), Required: true},
			{Name: "sha256", Type: kind.String, Title: kind.T("内容校验值", "Hash of the content"), Required: true, Pattern: "[0-9a-f]{64}"},
			{Name: "total", Type: kind.Int, Title: kind.T("资源数", "Resources"), Required: true, Min: "0"},
			{Name: "done", Type: kind.Int, Title: kind.T("已处理", "Done"), Required: true, Min: "0"},
			{Name: "matched", Type: kind.Int, Title: kind.T("原已存在", "Already there"), Min: "0"},
			{Name: "refused", Type: kind.Int, Title: kind.T("未能导入", "Refused"), Min: "0"},
			{Name: "counts", Type: kind.Any, Title: kind.T("各类型数量", "Resources by type")},
		},
		Search: []kind.Param{{Name: "name", Type: kind.WordsParam, Path: "name"}, {Name: "sha256", Type: kind.TokenParam, Path: "sha256"}},
		Access: []kind.Grant{
			{Role: RoleAdmin, Can: []string{"read", "history", "create", "update"}},
			{Role: RoleReader, Can: []string{"read"}},
		},
		Place: kind.Place{Owner: "@creator"},
		View:  kind.View{TitleField: "name", Columns: []string{"name", "total", "done", "refused", "updatedAt"}, Filters: []string{"name"}, Menu: Menu, Icon: "Upload", Order: 210},
	}
}
