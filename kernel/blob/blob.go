// Package blob is the port for large content: written once, found by the hash
// of its bytes, checked on every read. It does not know what the bytes mean.
package blob

import (
	"context"
	"io"
	"time"
)

// Store keeps content by its address. Adapters pass blob/blobtest.
type Store interface {
	// Put reads r to its end and returns the content's address and size. The same
	// content has the same address and is kept once. Durable when it returns.
	// Errors: TooLarge above max bytes (0: no bound), Unavailable on a full disk.
	Put(ctx context.Context, r io.Reader, max int64) (addr string, size int64, err error)
	// Open reads content; reading to the end fails with Internal where the bytes are
	// not those of the address. NotFound where there is none.
	Open(ctx context.Context, addr string) (io.ReadSeekCloser, int64, error)
	// Delete removes content; no error where there is none.
	Delete(ctx context.Context, addr string) error
	// Each calls f for every address until f or the walk fails.
	Each(ctx context.Context, f func(addr string, size int64, at time.Time) error) error
	// Verify reads the content through; Internal naming what is wrong with it.
	Verify(ctx context.Context, addr string) error
}

// An address is "sha256-" and 64 hex digits.
const Prefix = "sha256-"
