package predict

import (
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// notice is how long before a date it is told of, and soon when the work is due
// now: a certificate of the trade's own authority takes days, a contract weeks.
var notice = map[string]struct{ first, soon time.Duration }{
	certificatePart: {30 * day, 7 * day},
	warrantyPart:    {90 * day, 14 * day},
}

const (
	certificatePart = "certificate"
	warrantyPart    = "warranty"
)

// Certificate foresees that a certificate expires; part tells which of the
// thing's, and may be empty. ok is false where there are more than 30 days left,
// or it has expired: that is for the alerts.
func Certificate(now time.Time, thing, part string, expires time.Time) (p engine.Prediction, ok bool) {
	p, ok = date(now, thing, certificatePart, expires)
	if part != "" {
		p.Part += " " + part
	}
	p.Title = text("证书还有 %s 天到期", "A certificate expires in %s days", days(expires.Sub(now).Hours()/24))
	p.Advice = kind.T("续期并换上新证书，再从客户端连一次验证。", "Renew it, put the new one in place and connect to it once to prove it.")
	p.Metric = "probe_ssl_earliest_cert_expiry - time()"
	return p, ok
}

// Warranty foresees that the warranty or the maintenance contract of a thing ends.
// ok is false where there are more than 90 days left, or it has ended.
func Warranty(now time.Time, thing string, ends time.Time) (p engine.Prediction, ok bool) {
	p, ok = date(now, thing, warrantyPart, ends)
	p.Title = text("保修还有 %s 天到期", "The warranty ends in %s days", days(ends.Sub(now).Hours()/24))
	p.Advice = kind.T("联系续保，或安排更换；到期前把未决的故障报修。", "Have it prolonged or plan the replacement; report open faults before it ends.")
	return p, ok
}

func date(now time.Time, thing, part string, at time.Time) (engine.Prediction, bool) {
	left := at.Sub(now)
	n := notice[part]
	if left <= 0 || left > n.first {
		return engine.Prediction{}, false
	}
	at = at.UTC()
	p := engine.Prediction{
		Thing: thing, Kind: engine.PredictDate, Part: part, When: at, Earliest: at, Latest: at, Probability: 1, Horizon: n.first.String(),
		Severity: engine.Minor, Evidence: []kind.Text{kind.T("到期时刻 "+at.Format("2006-01-02 15:04 MST"), "It ends at "+at.Format("2006-01-02 15:04 MST"))},
	}
	if left <= n.soon {
		p.Severity = engine.Major
	}
	return p, true
}
