package detect

import (
	"time"

	"zhiwei/engine"
)

// Symptom hands a verdict to the knowledge engine: the name is anomaly(metric), the
// value the score with its sign, −1 to 1, negative where the series is unusually
// low. A point that is no alarm is a symptom too: nothing unusual was seen. It is
// not judged for severity: what an anomaly means is not known here.
func (v Verdict) Symptom(thing, metric string, labels map[string]string, at time.Time) engine.Symptom {
	return engine.Symptom{
		Thing: thing, Source: engine.FromMetric, Name: "anomaly(" + metric + ")", Value: v.Signed(), Labels: labels, Since: at, At: at,
	}
}
