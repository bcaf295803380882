package fhir

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
)

// unchanged tells whether a conditional read finds what the client holds
// already: If-None-Match decides, and only where it is absent does
// If-Modified-Since (RFC 9110 §13.1.3; FHIR R4 §3.1.0.2.2).
func unchanged(r *http.Request, rec *record.Record) bool {
	if tags := r.Header.Values("If-None-Match"); len(tags) > 0 {
		for _, line := range tags {
			for tag := range strings.SplitSeq(line, ",") {
				if strings.TrimSpace(tag) == "*" {
					return true
				}
				if v, ok := versionOf(tag); ok && v == rec.Version {
					return true
				}
			}
		}
		return false
	}
	if since := r.Header.Get("If-Modified-Since"); since != "" {
		t, err := http.ParseTime(since)
		return err == nil && !rec.UpdatedAt.Truncate(time.Second).After(t)
	}
	return false
}

// versionOf reads an ETag, weak or strong, and the bare number some clients
// send; ok is false where it is none of ours.
func versionOf(tag string) (int64, bool) {
	tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
	v, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64)
	return v, err == nil && v > 0
}

// match reads the headers that guard a write: If-Match with one version or *
// (it must exist), If-None-Match with * (it must not).
func (s *step) match(ifMatch, ifNoneMatch string) error {
	switch ifMatch = strings.TrimSpace(ifMatch); ifMatch {
	case "":
	case "*":
		s.present = true
	default:
		v, ok := versionOf(ifMatch)
		if !ok {
			return errs.E(errs.Invalid, "write", ifMatch, `If-Match 的格式为 W/"版本号"，只写一个；* 表示必须已存在。`, `If-Match is written W/"version", one alone; * means that it must exist.`).At("If-Match")
		}
		s.ifMatch = v
	}
	switch strings.TrimSpace(ifNoneMatch) {
	case "":
	case "*":
		s.absent = true
	default:
		return errs.E(errs.Invalid, "write", ifNoneMatch, "写入时 If-None-Match 只支持 *。", "On a write If-None-Match takes * alone.").At("If-None-Match")
	}
	if s.absent && (s.present || s.ifMatch > 0) {
		return errs.E(errs.Invalid, "write", "If-Match", "If-Match 与 If-None-Match 互相矛盾；请只用其中一个。", "If-Match and If-None-Match contradict each other; send one of them.").At("If-None-Match")
	}
	return nil
}

// notAsExpected is the answer where If-Match or If-None-Match does not hold.
func notAsExpected(subject, zh, en string) error {
	return withStatus(http.StatusPreconditionFailed, errs.E(errs.Conflict, "write", subject, zh, en))
}
