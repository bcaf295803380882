package operations

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel/clock"
)

// A device whose lines came in before a restart is listened to after it: that it says
// nothing means that nothing is the matter, and proves what was done to it. Of one
// that never sent a line nothing is known. What was put right stays so, and is
// forgotten where it lies in the future because the clock was set back.
// Proves A06, A09.
func TestWhoWasHeardIsListenedToAfterARestart(t *testing.T) {
	b, err := knowledge.Default()
	if err != nil {
		t.Fatal(err)
	}
	dir, clk := t.TempDir(), clock.System()
	none := func(time.Time) []engine.Symptom { return nil }
	before := newSenses(b, none, clk)
	before.caller("tape")
	now := clk.Now()
	before.mend([]string{"tape"}, now.Add(-time.Minute))
	before.mend([]string{"array"}, now.Add(time.Hour))
	if err := before.keep(dir); err != nil {
		t.Fatal(err)
	}
	after := newSenses(b, none, clk)
	after.recall(dir, slog.New(slog.DiscardHandler))
	for id, want := range map[string]bool{"tape": true, "silent": false} {
		said := after.present(map[string]bool{id: true}, now, true)
		if got := slices.ContainsFunc(said, func(y engine.Symptom) bool { return y.Source == engine.FromLog && y.Absent }); got != want {
			t.Errorf("%s: it is known that nothing was said: %v", id, got)
		}
	}
	calm, mended, since := after.apart([]string{"tape", "array"}, now)
	if !slices.Equal(calm, []string{"array"}) || !slices.Equal(mended, []string{"tape"}) || !since.Equal(now.Add(-time.Minute)) {
		t.Errorf("calm %v, mended %v since %v", calm, mended, since)
	}
}
