// Package data measures: it samples things into the series store, makes checks,
// follows logs, finds devices and cuts data sets. It does not say what a value
// means and repairs nothing.
package data

import (
	"zhiwei/drive/host"
	"zhiwei/kernel/clock"
)

// Machine is the machine this program runs on.
func Machine(clk clock.Clock) Source { return &host.Machine{Clock: clk} }
