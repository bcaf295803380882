package remotewrite

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang/snappy"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Bounds of a queue.
const (
	defaultBytes = 256 << 20 // about a week of one machine at 15 s
	minBytes     = 256 << 10
	parts        = 16   // segments of a full queue: what is lost at once
	perRecord    = 2000 // samples; a record is lost or sent as a whole
	flushEvery   = 5 * time.Second
)

// A segment is a file of records: length, check sum and number of samples, four
// bytes each, then a WriteRequest compressed with snappy.
const (
	suffix = ".seg"
	head   = 12
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Queue keeps samples on disk until they are sent. What Append took is there
// after a SIGKILL; after a power cut all but the last seconds. It is safe for
// concurrent use; one process may have it open.
type Queue struct {
	dir      string
	limit    int64
	clock    clock.Clock
	mu       sync.Mutex
	segments []*segment // oldest first; the last is written to
	file     *os.File   // of the last
	place    place      // of the next record to send, in segments[0]
	lost     int64
	flushed  time.Time
	wake     chan struct{}
}

// segment is one file.
type segment struct {
	id      uint64
	size    int64
	samples int // in whole records
}

// place is where sending goes on: a byte of a segment.
type place struct {
	Segment uint64 `json:"segment"`
	Offset  int64  `json:"offset"`
	Sent    int    `json:"sent"` // samples of the segment before it
}

// kept is what the file state holds. Where it is behind, some samples are sent
// twice, which changes nothing where they arrive.
type kept struct {
	place
	Lost int64 `json:"lost"`
}

// Open opens or makes the queue in dir, for maxBytes at most; 0 means 256 MiB.
// Half a record at its end, left by a kill, is cut off. Unavailable where the
// folder cannot be written.
func Open(dir string, maxBytes int64, clk clock.Clock) (*Queue, error) {
	if maxBytes == 0 {
		maxBytes = defaultBytes
	}
	q := &Queue{dir: dir, limit: max(maxBytes, minBytes), clock: clk, wake: make(chan struct{}, 1)}
	if err := q.open(); err != nil {
		return nil, errs.E(errs.Unavailable, "open queue", dir, "待发队列 "+dir+" 打不开；请检查目录权限与磁盘空间。", "The queue "+dir+" cannot be opened; check the rights of the folder and the free disk space.").Because(err)
	}
	return q, nil
}

func (q *Queue) open() error {
	if err := os.MkdirAll(q.dir, 0o700); err != nil {
		return err
	}
	list, err := os.ReadDir(q.dir)
	if err != nil {
		return err
	}
	for _, e := range list { // sorted by name, which is by age
		name, ok := strings.CutSuffix(e.Name(), suffix)
		id, err := strconv.ParseUint(name, 16, 64)
		if !ok || err != nil {
			continue
		}
		s := &segment{id: id}
		if s.size, s.samples, err = measure(q.path(id)); err != nil {
			return err
		}
		q.segments = append(q.segments, s)
	}
	var k kept
	if raw, err := os.ReadFile(q.state()); err == nil && json.Unmarshal(raw, &k) == nil {
		q.lost = k.Lost
	}
	for len(q.segments) > 1 && q.segments[0].id < k.Segment {
		if err := os.Remove(q.path(q.segments[0].id)); err != nil {
			return err
		}
		q.segments = q.segments[1:]
	}
	if len(q.segments) == 0 {
		q.segments = []*segment{{id: max(k.Segment, 1)}}
	}
	first, last := q.segments[0], q.segments[len(q.segments)-1]
	q.place = place{Segment: first.id}
	if k.Segment == first.id && k.Offset <= first.size {
		q.place = k.place
	}
	if q.file, err = os.OpenFile(q.path(last.id), os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	if err := q.file.Truncate(last.size); err != nil {
		return err
	}
	_, err = q.file.Seek(last.size, 0)
	return err
}

// measure finds the end of the last whole record of a file.
func measure(path string) (size int64, samples int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for {
		n, count, _, err := record(f, size)
		if err != nil {
			return size, samples, nil // the end, or what a kill left
		}
		size, samples = size+n, samples+count
	}
}

// record reads the record at a place: its whole length, samples and payload.
func record(f *os.File, at int64) (n int64, samples int, payload []byte, err error) {
	var h [head]byte
	if _, err := f.ReadAt(h[:], at); err != nil {
		return 0, 0, nil, err
	}
	length := binary.LittleEndian.Uint32(h[:])
	if length > 64<<20 {
		return 0, 0, nil, fmt.Errorf("a record of %d bytes", length)
	}
	payload = make([]byte, length)
	if _, err := f.ReadAt(payload, at+head); err != nil {
		return 0, 0, nil, err
	}
	if crc32.Update(crc32.Checksum(h[8:], castagnoli), castagnoli, payload) != binary.LittleEndian.Uint32(h[4:]) {
		return 0, 0, nil, fmt.Errorf("the check sum of the record at %d is wrong", at)
	}
	return head + int64(length), int(binary.LittleEndian.Uint32(h[8:])), payload, nil
}

func (q *Queue) path(id uint64) string {
	return filepath.Join(q.dir, fmt.Sprintf("%016x%s", id, suffix))
}

func (q *Queue) state() string { return filepath.Join(q.dir, "state") }

// Append implements series.Appender: the samples wait to be sent. Where the
// queue or the disk is full the oldest are lost first. Unavailable where nothing
// can be written at all; the samples are then lost and counted.
func (q *Queue) Append(_ context.Context, samples []series.Sample) (dropped int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for part := range slices.Chunk(samples, perRecord) {
		payload := snappy.Encode(nil, encode(part))
		b := make([]byte, head, head+len(payload))
		binary.LittleEndian.PutUint32(b, uint32(len(payload)))
		binary.LittleEndian.PutUint32(b[8:], uint32(len(part)))
		binary.LittleEndian.PutUint32(b[4:], crc32.Update(crc32.Checksum(b[8:], castagnoli), castagnoli, payload))
		if err := q.write(append(b, payload...), len(part)); err != nil {
			q.lost += int64(len(part))
			dropped += len(part)
			q.save()
			return dropped, errs.E(errs.Unavailable, "queue samples", q.dir, "待发队列写不进去，这些测量值已丢弃并计数；请检查磁盘空间。", "The queue could not be written; these samples were lost and counted. Check the free disk space.").Because(err)
		}
	}
	if now := q.clock.Now(); now.Sub(q.flushed) >= flushEvery || now.Before(q.flushed) {
		q.flushed = now
		_ = q.file.Sync() // what it could not write, the next write tells
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return dropped, nil
}

// write puts one record at the end and keeps the bound.
func (q *Queue) write(b []byte, samples int) error {
	if q.file == nil {
		return os.ErrClosed
	}
	last := q.segments[len(q.segments)-1]
	if last.size > 0 && last.size+int64(len(b)) > q.limit/parts {
		f, err := os.OpenFile(q.path(last.id+1), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_ = q.file.Sync()
		_ = q.file.Close()
		last = &segment{id: last.id + 1}
		q.file, q.segments = f, append(q.segments, last)
	}
	for {
		_, err := q.file.WriteAt(b, last.size)
		if err == nil {
			break
		}
		_ = q.file.Truncate(last.size)
		if len(q.segments) == 1 {
			return err
		}
		q.forget()
	}
	last.size += int64(len(b))
	last.samples += samples
	total := int64(0)
	for _, s := range q.segments {
		total += s.size
	}
	for total > q.limit && len(q.segments) > 1 {
		total -= q.segments[0].size
		q.forget()
	}
	return nil
}

// forget loses the oldest segment.
func (q *Queue) forget() {
	q.lost += int64(q.segments[0].samples - q.place.Sent)
	q.next()
	q.save()
}

// next goes on to the second segment.
func (q *Queue) next() {
	_ = os.Remove(q.path(q.segments[0].id)) // where it stays, the next Open takes it away
	q.segments = q.segments[1:]
	q.place = place{Segment: q.segments[0].id}
}

// save writes the state. A failure costs sending some samples again.
func (q *Queue) save() {
	raw, err := json.Marshal(kept{q.place, q.lost})
	if err != nil {
		return
	}
	if os.WriteFile(q.state()+".new", raw, 0o600) == nil {
		_ = os.Rename(q.state()+".new", q.state())
	}
}

// batch is some records that are sent together.
type batch struct {
	raw     []byte // a WriteRequest, not compressed
	samples int
	records int
	end     place
}

// take reads what waits, from the oldest on, up to maxSamples and at least one
// record; zero samples where nothing waits. A record that cannot be read any
// more is lost with the rest of its segment.
func (q *Queue) take(maxSamples int) (batch, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.file != nil {
		first := q.segments[0]
		if q.place.Offset >= first.size {
			if len(q.segments) == 1 {
				return batch{}, nil
			}
			q.next()
			continue
		}
		b, err := q.read(first, maxSamples)
		if b.records > 0 {
			return b, nil
		}
		if len(q.segments) == 1 { // what is behind the damage must have a segment to stand in
			f, ferr := os.OpenFile(q.path(first.id+1), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if ferr != nil {
				return batch{}, errs.Wrap("read queue", q.dir, ferr)
			}
			_ = q.file.Close()
			q.file, q.segments = f, append(q.segments, &segment{id: first.id + 1})
		}
		q.forget()
		return batch{}, errs.E(errs.Unavailable, "read queue", q.dir, "待发队列中有一段已损坏，已跳过并计为丢失。", "A part of the queue is damaged; it was left out and counted as lost.").Because(err)
	}
	return batch{}, nil
}

func (q *Queue) read(s *segment, maxSamples int) (batch, error) {
	b := batch{end: q.place}
	f, err := os.Open(q.path(s.id))
	if err != nil {
		return b, err
	}
	defer f.Close()
	for b.end.Offset < s.size {
		n, count, payload, err := record(f, b.end.Offset)
		if err != nil {
			return b, err
		}
		if b.records > 0 && b.samples+count > maxSamples {
			break
		}
		raw, err := snappy.Decode(nil, payload)
		if err != nil {
			return b, err
		}
		b.raw = append(b.raw, raw...)
		b.samples += count
		b.records++
		b.end.Offset += n
		b.end.Sent += count
	}
	return b, nil
}

// done says that a batch need not be sent again.
func (q *Queue) done(b batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.place.Segment == b.end.Segment && q.place.Offset < b.end.Offset { // else it was lost meanwhile
		q.place = b.end
		q.save()
	}
}

// Waiting is how many samples and bytes wait.
func (q *Queue) Waiting() (samples, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.segments {
		samples += int64(s.samples)
		bytes += s.size
	}
	return samples - int64(q.place.Sent), bytes - q.place.Offset
}

// Lost is how many samples were thrown away unsent since the queue was made.
func (q *Queue) Lost() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}

// Close ends the queue; what waits stays on disk. Closing twice is no error.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.file == nil {
		return nil
	}
	q.save()
	f := q.file
	q.file = nil
	err := f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return errs.Wrap("close queue", q.dir, err)
}
