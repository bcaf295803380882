package relational

import (
	_ "embed" // the dictionary
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/klauspost/compress/s2"

	"zhiwei/kernel/record"
)

// dictionaryV1 is what documents of the house begin to be compressed against:
// property names and code systems as FHIR R4 and our own kinds write them. It is
// part of the format: it never changes, a better one gets another format byte.
//
//go:embed dictionary.txt
var dictionaryV1 []byte

// The first byte of a body says how the lengths of meta and data, meta, data and
// the index entries follow; the CRC-32C of all before it ends the body.
//
// Documents are packed with S2 rather than zstd: it costs about a tenth of the
// time on either way, for a body a quarter larger.
const (
	plainV1  = 1 // as they are: short ones, where a packed one is no shorter
	packedV1 = 2 // an S2 block with dictionary 1
)

// worthPacking is the length from which bodies are packed. Shorter ones share a
// page with their columns and indexes either way.
const worthPacking = 256

// maxFrame bounds what a body may unpack to, against a damaged length.
const maxFrame = 256 << 20

var coder = s2.MakeDict(dictionaryV1, nil)

// frame is what a body holds beside the columns.
type frame struct {
	nth     int64 // row.nth, so that a check sees it rot
	entered int64 // Record.EnteredAt, Unix milliseconds
	epoch   int64 // Record.HomeEpoch
	place   record.Placement
	mark    record.Mark
	data    []byte
	index   []byte // entries as appendEntries wrote them
}

var errFrame = errors.New("relational: a body cannot be read")

// pack writes a body.
func (f *frame) pack() ([]byte, error) {
	meta := binary.AppendUvarint(nil, uint64(f.nth))
	meta = binary.AppendVarint(meta, f.entered)
	meta = binary.AppendVarint(meta, f.epoch)
	meta = append(meta, byte(f.mark.Op))
	for _, s := range [...]string{f.place.Org, f.place.Dept, f.place.Owner, f.place.Subject.Kind, f.place.Subject.ID, f.mark.Verb, f.mark.From, f.mark.By, f.mark.ByName, f.mark.Behalf} {
		meta = appendString(meta, s)
	}
	meta = binary.AppendVarint(meta, int64(f.mark.Paused))
	if f.mark.Evidence == nil {
		meta = appendString(meta, "")
	} else {
		ev, err := json.Marshal(f.mark.Evidence)
		if err != nil {
			return nil, fmt.Errorf("evidence: %w", err)
		}
		meta = appendString(meta, string(ev))
	}
	if len(f.place.Others) > 0 || f.place.Label != "" { // most bodies end here
		meta = appendString(meta, f.place.Label)
		for _, o := range f.place.Others {
			meta = appendString(appendString(meta, o.Kind), o.ID)
		}
	}
	raw := make([]byte, 0, 8+len(meta)+len(f.data)+len(f.index))
	raw = binary.AppendUvarint(raw, uint64(len(meta)))
	raw = binary.AppendUvarint(raw, uint64(len(f.data)))
	raw = append(raw, meta...)
	raw = append(raw, f.data...)
	raw = append(raw, f.index...)
	return seal(raw), nil
}

// seal makes the body of what pack wrote.
func seal(raw []byte) []byte {
	var body []byte
	if len(raw) >= worthPacking {
		room := make([]byte, 1+s2.MaxEncodedLen(len(raw)))
		if block := coder.Encode(room[1:], raw); len(block) < len(raw) {
			body = append(make([]byte, 0, 1+len(block)+4), packedV1)
			body = append(body, block...)
		}
	}
	if body == nil {
		body = append(make([]byte, 0, 1+len(raw)+4), plainV1)
		body = append(body, raw...)
	}
	return binary.BigEndian.AppendUint32(body, crc32.Checksum(body, castagnoli))
}

// unseal gives what pack wrote. It fails where a single bit of the body is not
// as it was written.
func unseal(body []byte) ([]byte, error) {
	end := len(body) - 4
	if end < 1 {
		return nil, fmt.Errorf("%w: too short", errFrame)
	}
	if binary.BigEndian.Uint32(body[end:]) != crc32.Checksum(body[:end], castagnoli) {
		return nil, fmt.Errorf("%w: wrong checksum", errFrame)
	}
	in := body[1:end]
	switch body[0] {
	case plainV1:
		return in, nil
	case packedV1:
		if n, err := s2.DecodedLen(in); err != nil || n > maxFrame {
			return nil, fmt.Errorf("%w: wrong length", errFrame)
		}
		raw, err := coder.Decode(nil, in)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errFrame, err)
		}
		return raw, nil
	}
	return nil, fmt.Errorf("%w: unknown format", errFrame)
}

// unpack reads a body. It fails where a single bit is not as it was written.
func unpack(body []byte) (f frame, err error) {
	raw, err := unseal(body)
	if err != nil {
		return f, err
	}
	r := reader{b: raw}
	n, m := r.uvarint(), r.uvarint()
	meta := reader{b: r.take(n)}
	f.data = r.take(m)
	f.index = r.b
	f.nth, f.entered, f.epoch = int64(meta.uvarint()), meta.varint(), meta.varint()
	if op := meta.take(1); len(op) == 1 {
		f.mark.Op = record.Op(op[0])
	}
	for _, s := range [...]*string{&f.place.Org, &f.place.Dept, &f.place.Owner, &f.place.Subject.Kind, &f.place.Subject.ID, &f.mark.Verb, &f.mark.From, &f.mark.By, &f.mark.ByName, &f.mark.Behalf} {
		*s = meta.string()
	}
	f.mark.Paused = time.Duration(meta.varint())
	if ev := meta.string(); ev != "" {
		if err := json.Unmarshal([]byte(ev), &f.mark.Evidence); err != nil {
			return f, fmt.Errorf("%w: evidence: %w", errFrame, err)
		}
	}
	if len(meta.b) > 0 {
		f.place.Label = meta.string()
		for len(meta.b) > 0 && !meta.bad {
			f.place.Others = append(f.place.Others, record.Key{Kind: meta.string(), ID: meta.string()})
		}
	}
	if r.bad || meta.bad {
		return f, fmt.Errorf("%w: too short", errFrame)
	}
	return f, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes values off the front of bytes; after the first that is not there
// it is bad and gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string { return string(r.take(r.uvarint())) }
