package fhir

import (
	"compress/gzip"
	"io"
	"net/http"

	"zhiwei/kernel/record"
)

// streamFrom is how much of a Bundle is gathered before it begins to be sent:
// until then an error still gets a status of its own.
const streamFrom = 256 << 10

// bundleStream writes a searchset as its entries come, so that a long one is in
// memory a page at a time. What is known only at the end, links and the total,
// stands at the end: the order of members means nothing in JSON.
type bundleStream struct {
	w    http.ResponseWriter
	r    *http.Request
	base string
	out  io.Writer
	zip  *gzip.Writer
	buf  []byte
	n    int // entries so far
}

func newBundleStream(w http.ResponseWriter, r *http.Request, base string) *bundleStream {
	return &bundleStream{w: w, r: r, base: base, buf: append(make([]byte, 0, streamFrom+64<<10), `{"resourceType":"Bundle","type":"searchset"`...)}
}

// entry adds a record. mode is match or include (R4 §3.1.1.5).
func (s *bundleStream) entry(rec *record.Record, mode string) error {
	s.between()
	b := append(append(append(s.buf, `{"fullUrl":"`...), s.base...), '/')
	b = append(append(append(append(b, rec.Kind...), '/'), rec.ID...), `","resource":`...)
	b = appendResource(b, rec)
	s.buf = append(append(append(b, `,"search":{"mode":"`...), mode...), `"}}`...)
	if len(s.buf) >= streamFrom {
		return s.flush()
	}
	return nil
}

func (s *bundleStream) between() {
	if s.n == 0 {
		s.buf = append(s.buf, `,"entry":[`...)
	} else {
		s.buf = append(s.buf, ',')
	}
	s.n++
}

// flush sends what has been gathered, the headers first.
func (s *bundleStream) flush() error {
	if s.out == nil {
		h := s.w.Header()
		h.Set("Content-Type", ContentType+"; charset=utf-8")
		s.out = s.w
		if takesGzip(s.r) {
			h.Set("Content-Encoding", "gzip")
			h.Add("Vary", "Accept-Encoding")
			s.zip = gzips.Get().(*gzip.Writer)
			s.zip.Reset(s.w)
			s.out = s.zip
		}
		s.w.WriteHeader(http.StatusOK)
	}
	_, err := s.out.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// end closes the Bundle with its links, and its total where it is not negative.
func (s *bundleStream) end(total int64, links []byte) error {
	if s.n > 0 {
		s.buf = append(s.buf, ']')
	}
	s.buf = appendTotal(s.buf, total)
	s.buf = append(append(append(s.buf, `,"link":[`...), links...), "]}"...)
	if s.out == nil { // short: as any other answer
		send(s.w, s.r, http.StatusOK, s.buf)
		return nil
	}
	err := s.flush()
	if s.zip != nil {
		if cerr := s.zip.Close(); err == nil {
			err = cerr
		}
		gzips.Put(s.zip)
	}
	return err
}
