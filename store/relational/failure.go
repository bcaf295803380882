package relational

import (
	"errors"

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

// lostCommit is a commit that was not answered: it may have happened, so the
// batch must not be run again.
type lostCommit struct{ cause error }

func (e *lostCommit) Error() string { return "commit not answered: " + e.cause.Error() }

func (e *lostCommit) Unwrap() error { return e.cause }

func (e *lostCommit) failure(subject string) error {
	return errs.E(errs.Unavailable, "write", subject,
		"数据库在提交时断开，是否已保存不能确定；请先查看该记录，再决定是否重做。",
		"The database was lost during the commit, so it is not known whether this was saved; look at the record before doing it again.").Because(e)
}

func gone(op, subject string) error {
	return errs.E(errs.Unavailable, op, subject, "存储已关闭；请稍后重试。", "The store is closed; try again later.")
}
