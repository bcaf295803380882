package otlp

import (
	"strings"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
)

// Log is one log record as its sender wrote it.
type Log struct {
	At       time.Time // when it was written; where the sender does not say, when it was seen or came
	Thing    string    // id of the thing, by the resource's attribute "thing"; empty where not said
	Job      string    // service, with its namespace before a slash
	Instance string    // service.instance.id, else host.name
	// Severity is 1–24 (OpenTelemetry, "Log Data Model", SeverityNumber: from 17 on
	// an error, from 21 on fatal); 0 where not said.
	Severity     int
	SeverityText string            // as the source calls it
	Text         string            // the body: text as it is, all else as JSON; valid UTF-8
	Attributes   map[string]string // of the record, by their own names
}

// records reads the records of a request and counts those that were cut. TooLarge
// beyond the bound of a request.
func records(list []*logspb.ResourceLogs, now time.Time) (out []Log, cut int, err error) {
	for _, rl := range list {
		own, _ := resource(rl.GetResource().GetAttributes())
		for _, sl := range rl.GetScopeLogs() {
			for _, r := range sl.GetLogRecords() {
				if len(out) >= maxRecords {
					return nil, 0, tooMany(maxRecords, "日志记录", "log records")
				}
				body := text(r.GetBody())
				if len(body) > maxText {
					body = strings.ToValidUTF8(body[:maxText], "")
					cut++
				}
				l := Log{
					At: instant(r.GetTimeUnixNano(), instant(r.GetObservedTimeUnixNano(), now)), Thing: own["thing"], Job: own["job"], Instance: own["instance"],
					Severity: int(r.GetSeverityNumber()), SeverityText: r.GetSeverityText(), Text: body,
				}
				if len(r.GetAttributes()) > 0 {
					l.Attributes = make(map[string]string, len(r.GetAttributes()))
					for _, a := range r.GetAttributes() {
						l.Attributes[a.GetKey()] = text(a.GetValue())
					}
				}
				out = append(out, l)
			}
		}
	}
	return out, cut, nil
}
