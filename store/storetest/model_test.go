package storetest

import (
	"testing"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/store"
)

func TestModel(t *testing.T) {
	Run(t, func(_ *testing.T, defs store.Defs, clk clock.Clock) store.Store { return NewModel(Site, defs, clk) })
}
