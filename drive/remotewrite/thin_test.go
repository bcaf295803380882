package remotewrite_test

import (
	"context"
	"testing"
	"time"

	"zhiwei/drive/remotewrite"
	"zhiwei/kernel/series"
)

// noted is what was handed on.
type noted []series.Sample

func (n *noted) Append(_ context.Context, s []series.Sample) (int, error) {
	*n = append(*n, s...)
	return 0, nil
}

// Only what may goes up, each series as often as is said; what is held back is
// counted, and a clock that was set back holds nothing back for long. Proves A17.
func TestOnlyWhatMayGoesUp(t *testing.T) {
	var out noted
	thin := &remotewrite.Thinned{To: &out, Only: []string{"up", "intent_*"}, Every: time.Minute}
	began := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	at := func(name, thing string, after time.Duration) series.Sample {
		return series.Sample{Name: name, Labels: map[string]string{"thing": thing}, At: began.Add(after)}
	}
	for i := range 10 {
		d := time.Duration(i) * 15 * time.Second
		if dropped, err := thin.Append(t.Context(), []series.Sample{at("up", "a", d), at("up", "b", d), at("intent_attainment", "a", d), at("patients", "a", d)}); dropped != 0 || err != nil {
			t.Fatal(dropped, err)
		}
	}
	if len(out) != 9 || thin.Kept() != 31 {
		t.Errorf("%d samples went up, %d were held back", len(out), thin.Kept())
	}
	for _, s := range out {
		if s.Name == "patients" || s.At.Sub(began)%time.Minute != 0 {
			t.Errorf("%s of %s went up", s.Name, s.At)
		}
	}
	out = nil
	if _, err := thin.Append(t.Context(), []series.Sample{at("up", "a", -time.Hour)}); err != nil || len(out) != 1 {
		t.Errorf("after the clock was set back %d went up, %v", len(out), err)
	}
	all := &remotewrite.Thinned{To: &out}
	if _, err := all.Append(t.Context(), []series.Sample{at("patients", "a", 0), at("patients", "a", 1)}); err != nil || len(out) != 3 {
		t.Errorf("without bounds %d went up, %v", len(out), err)
	}
}
