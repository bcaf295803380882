package relational

import (
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// packJob is a row whose body and hash are to be made.
type packJob struct {
	b   *batch
	x   *row
	rec record.Record
	f   frame
}

// pack makes the body and the hash of a row beside the batcher, which is the
// one thing that writes wait for. They are there after packed.
func (b *batch) pack(x *row, rec *record.Record, f frame) {
	b.packing.Add(1)
	b.s.packs <- packJob{b, x, *rec, f}
}

// packed waits for what pack was asked for.
func (b *batch) packed() error {
	b.packing.Wait()
	if err := b.unpacked.Load(); err != nil {
		return *err
	}
	return nil
}

// packer packs until the batcher ends.
func (s *Store) packer() {
	for j := range s.packs {
		j.x.hash = store.HashVersion(&j.rec)
		body, err := j.f.pack()
		if err != nil {
			j.b.unpacked.Store(&err)
		}
		j.x.body = body
		j.b.packing.Done()
	}
}
