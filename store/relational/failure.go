package relational

import (
	"errors"
	"fmt"

	"zhiwei/kernel/errs"
)

// ErrStale says that a statement did not touch the rows it must: another
// process was there first. The batch is run again.
var ErrStale = errors.New("relational: a row is not as it was read")

// failure gives a failure of the database its kind and sentence. Errors of the
// house pass unchanged.
func (s *Store) failure(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	var e *errs.Error
	if errors.As(err, &e) {
		return err
	}
	if errors.Is(err, ErrStale) {
		return errs.E(errs.Conflict, op, subject,
			"该记录刚被另一节点修改；请重新读取后再试。",
			"The record was just changed by another node; read it again and retry.").Because(err)
	}
	switch s.db.Fault(err) {
	case Full:
		return errs.E(errs.Unavailable, op, subject,
			"磁盘已满，无法写入，已有数据仍可读取；请清理磁盘空间后重试。",
			"The disk is full, so nothing can be written; what is there can still be read. Free some space and try again.").Because(err)
	case Gone, Again:
		return errs.E(errs.Unavailable, op, subject,
			"数据库暂时无法使用；请稍后重试，若持续出现请检查数据库服务。",
			"The database cannot be used at the moment; try again, and check the database service if it lasts.").Because(err)
	}
	return errs.Wrap(op, subject, err)
}

// LostCommit is a commit that was not answered: it may have happened, so the
// batch must not be run again.
type LostCommit struct{ Cause error }

func (e *LostCommit) Error() string { return "commit not answered: " + e.Cause.Error() }

// Unwrap gives the cause.
func (e *LostCommit) Unwrap() error { return e.Cause }

func (e *LostCommit) failure(subject string) error {
	return errs.E(errs.Unavailable, "write", subject,
		"数据库在提交时断开，是否已保存不能确定；请先查看该记录，再决定是否重做。",
		"The database was lost during the commit, so it is not known whether this was saved; look at the record before doing it again.").Because(e)
}

func gone(op, subject string) error {
	return errs.E(errs.Unavailable, op, subject, "存储已关闭；请稍后重试。", "The store is closed; try again later.")
}

// CheckLayout refuses tables of another layout than the program's: of a newer
// program, or of one from before there was a way on. Conflict; version 0 is a
// database without tables.
func CheckLayout(subject string, version, known int64) error {
	switch {
	case version > known:
		return errs.E(errs.Conflict, "open", subject,
			fmt.Sprintf("数据库格式版本 %d 比本程序支持的 %d 新；请使用更新的程序。", version, known),
			fmt.Sprintf("The database has layout %d, newer than the %d this program knows; use a newer program.", version, known))
	case version > 0 && version < known:
		return errs.E(errs.Conflict, "open", subject,
			fmt.Sprintf("数据库格式版本 %d 属于正式发布之前的程序，不能升级到 %d；请用原程序读取它，并把来源文件重新导入新的数据目录。", version, known),
			fmt.Sprintf("The database has layout %d, of a program before the first release, which cannot be brought to %d; read it with that program, and import the source files into a new data folder.", version, known))
	}
	return nil
}
