// Package predict tells what is going to fail while there is time to prevent it:
// a disk by what it says of itself, memory by the errors it still corrects, space
// by how it is used up, certificates and warranties by their dates. Where the
// evidence is too thin it says nothing; it buys, moves and deletes nothing.
//
// The weights of the disk and memory models are those that large field studies
// published, since no hospital has enough failures of its own to learn from. They
// rank what to look at first; the probabilities are worth no more than the
// studies' fleets are like the hospital's.
package predict

import (
	"fmt"
	"math"
	"time"

	"zhiwei/kernel/kind"
)

// Sample is one value at one time.
type Sample struct {
	At    time.Time
	Value float64
}

// day is a day of 24 hours, in which all rates are told.
const day = 24 * time.Hour

// three rounds a probability to three decimals, and keeps what can happen from
// reading as impossible, and what may not from reading as certain.
func three(p float64) float64 {
	return math.Round(min(max(p, 0.001), 0.999)*1000) / 1000
}

// text builds a sentence from two formats over the same values.
func text(zh, en string, a ...any) kind.Text {
	return kind.T(fmt.Sprintf(zh, a...), fmt.Sprintf(en, a...))
}

// share writes a share as a percentage.
func share(v float64) string { return fmt.Sprintf("%.1f%%", 100*v) }

// amount writes a number without needless decimals.
func amount(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// after is a time some days ahead; zero where that is out of sight: more than ten
// years.
func after(now time.Time, days float64) time.Time {
	if math.IsNaN(days) || days > 3650 {
		return time.Time{}
	}
	return now.Add(time.Duration(max(days, 0) * float64(day))).UTC().Truncate(time.Second)
}

// normal is the standard normal distribution function.
func normal(z float64) float64 { return 0.5 * math.Erfc(-z/math.Sqrt2) }
