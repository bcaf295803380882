package relational

import (
	_ "embed" // the dictionary
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/klauspost/compress/zstd"

	"zhiwei/kernel/record"
)

// dictionaryV1 is what documents of the house begin to be compressed against:
// property names and code systems as FHIR R4 and our own kinds write them. It is
// part of the format: it never changes, a better one gets another format byte.
//
//go:embed dictionary.txt
var dictionaryV1 []byte

// frameV1 is the first byte of a body: a zstd frame without checksum and with raw
// dictionary 1, holding the lengths of meta and data, meta, data and the index
// entries; then the CRC-32C of all before it. zstd's own checksum would not
// notice a flipped bit of its header.
const frameV1 = 1

// maxFrame bounds what a body may unpack to, against a damaged length.
const maxFrame = 256 << 20

// packers is how many bodies are packed at a time. Each costs a compressor's
// memory, and the batcher keeps a processor busy by itself.
const packers = 2

var encoder, decoder = coders()

func coders() (*zstd.Encoder, *zstd.Decoder) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(frameV1, dictionaryV1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithEncoderConcurrency(packers), zstd.WithWindowSize(1<<20), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // constant options
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(frameV1, dictionaryV1), zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxFrame))
	if err != nil {
		panic(err) // constant options
	}
	return e, d
}

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
	raw := make([]byte, 0, 8+len(meta)+len(f.data)+len(f.index))
	raw = binary.AppendUvarint(raw, uint64(len(meta)))
	raw = binary.AppendUvarint(raw, uint64(len(f.data)))
	raw = append(raw, meta...)
	raw = append(raw, f.data...)
	raw = append(raw, f.index...)
	body := encoder.EncodeAll(raw, append(make([]byte, 0, len(raw)/2+32), frameV1))
	return binary.BigEndian.AppendUint32(body, crc32.Checksum(body, castagnoli)), nil
}

// unpack reads a body. It fails where a single bit is not as it was written.
func unpack(body []byte) (f frame, err error) {
	end := len(body) - 4
	if end < 1 || body[0] != frameV1 {
		return f, fmt.Errorf("%w: unknown format", errFrame)
	}
	if binary.BigEndian.Uint32(body[end:]) != crc32.Checksum(body[:end], castagnoli) {
		return f, fmt.Errorf("%w: wrong checksum", errFrame)
	}
	raw, err := decoder.DecodeAll(body[1:end], nil)
	if err != nil {
		return f, fmt.Errorf("%w: %w", errFrame, err)
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
