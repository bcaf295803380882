package relational

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"

	"zhiwei/kernel/record"
)

func sample() frame {
	list := arrange([]entry{
		{table: tokenEntry, p: 3, text: "8302-2", a: 4},
		{table: textEntry, p: 5, text: "zhang san", exact: "Zhang San"},
		{table: dateEntry, p: 6, a: 10, b: 20, occ: 1},
		{table: quantityEntry, p: 7, lo: 1.5, hi: 2.5, a: 8, b: 9},
		{table: refEntry, p: 10, a: 77},
		{table: urlEntry, p: 10, text: "https://x/y"},
	})
	return frame{
		nth: 3, entered: 1_700_000_000_000, epoch: 2,
		place: record.Placement{Org: "o", Dept: "d", Owner: "user/a", Subject: record.Key{Kind: "Patient", ID: "1"}},
		mark:  record.Mark{Op: record.Verb, Verb: "close", From: "open", By: "user/a", ByName: "甲", Paused: 5, Evidence: map[string]any{"reason": "x"}},
		data:  []byte(`{"a":1}`), index: appendEntries(nil, list),
	}
}

// samples are a body of each format.
func samples() map[byte]frame {
	short, long := sample(), sample()
	long.data = fmt.Appendf(nil, `{"resourceType":"Observation","note":%q}`, strings.Repeat("as said ", 60))
	return map[byte]frame{plainV1: short, packedV1: long}
}

func TestFrameGivesBackWhatWasPacked(t *testing.T) {
	for format, want := range samples() {
		body, err := want.pack()
		if err != nil {
			t.Fatal(err)
		}
		if body[0] != format {
			t.Errorf("format %d, want %d", body[0], format)
		}
		got, err := unpack(body)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		list, err := readEntries(got.index)
		if err != nil || !bytes.Equal(appendEntries(nil, list), want.index) {
			t.Fatalf("entries %v, %v", list, err)
		}
	}
}

func TestEveryFlippedBitOfABodyIsNoticed(t *testing.T) {
	for _, f := range samples() {
		body, err := f.pack()
		if err != nil {
			t.Fatal(err)
		}
		flipAll(t, body)
	}
}

func flipAll(t *testing.T, body []byte) {
	t.Helper()
	for i := range len(body) * 8 {
		body[i/8] ^= 1 << (i % 8)
		if _, err := unpack(body); err == nil {
			t.Errorf("bit %d of %d was flipped and nobody noticed", i, len(body)*8)
		}
		body[i/8] ^= 1 << (i % 8)
	}
}

func FuzzUnpack(f *testing.F) {
	for _, s := range samples() {
		body, err := s.pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body[:len(body)-4])
	}
	f.Fuzz(func(_ *testing.T, b []byte) { // must not panic, checksum or not
		_, _ = unpack(b)
		_, _ = unpack(binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)))
	})
}

func FuzzReadEntries(f *testing.F) {
	f.Add(sample().index)
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := readEntries(b)
		if err != nil {
			return
		}
		again, err := readEntries(appendEntries(nil, list))
		if err != nil || len(again) != len(list) {
			t.Fatalf("%v, %v", again, err)
		}
	})
}
