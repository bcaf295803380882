package detect

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"zhiwei/kernel/errs"
)

// stateVersion is the first byte of a state. Another layout gets another number.
const stateVersion = 1

// fields are all that a detector knows, in the order they are written.
func (d *Detector) fields() []any {
	out := []any{&d.n, &d.last, &d.every, &d.base, &d.size, &d.level, &d.width, &d.recent, &d.recentAt, &d.told, &d.toldAt}
	tail := func(t *tail) { out = append(out, t.count, &t.total, &t.top, &t.used) }
	for i := range d.views {
		v := &d.views[i]
		out = append(out, v.cells, &v.spread)
		for j := range v.tails {
			tail(&v.tails[j])
		}
	}
	if c := d.large; c != nil {
		out = append(out, &c.value, &c.n, &c.sum, &c.in)
		tail(&c.tail)
	}
	return out
}

// AppendBinary adds the state to b: at most 1 KB of a small detector, 50 KB of a
// large one. A detector that is made from it goes on as this one would. The error
// is always nil.
func (d *Detector) AppendBinary(b []byte) ([]byte, error) {
	from := len(b)
	b = append(b, stateVersion, byte(d.Size()))
	for _, f := range d.fields() {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, f); err != nil {
			return nil, errs.Wrap("detect", "state", err)
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[from:])), nil
}

// MarshalBinary gives the state; see AppendBinary.
func (d *Detector) MarshalBinary() ([]byte, error) { return d.AppendBinary(nil) }

// UnmarshalBinary makes d what the detector was whose state it is. Invalid where
// it is not the whole and undamaged state of a detector of this version; then d is
// as it was.
func (d *Detector) UnmarshalBinary(state []byte) error {
	if len(state) < 6 || state[0] != stateVersion || Size(state[1]) > Large {
		return damaged(len(state))
	}
	end := len(state) - 4
	if crc32.ChecksumIEEE(state[:end]) != binary.LittleEndian.Uint32(state[end:]) {
		return damaged(len(state))
	}
	read := New(Size(state[1]))
	rest := state[2:end]
	for _, f := range read.fields() {
		n, err := binary.Decode(rest, binary.LittleEndian, f)
		if err != nil {
			return damaged(len(state))
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return damaged(len(state))
	}
	*d = *read
	return nil
}

func damaged(n int) error {
	return errs.E(errs.Invalid, "detect", fmt.Sprintf("state of %d bytes", n),
		"检测器的状态不完整或已损坏。请丢弃它，让检测器重新学习。", "The state of the detector is incomplete or damaged. Drop it and let the detector learn again.")
}
