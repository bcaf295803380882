package gate

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"zhiwei/kernel/errs"
)

// bound gives the body as its handler may read it: inflated where it came as
// gzip, and failing with TooLarge beyond max bytes, counted before and after
// inflation so that neither a long body nor a small bomb costs more.
// What came in own, a coding of the route, is not inflated here. Invalid where it
// is in a coding we do not know.
func bound(r *http.Request, max int64, own string) (io.ReadCloser, error) {
	if max == 0 {
		max = MaxBody
	}
	body := r.Body
	if body == nil || body == http.NoBody {
		return http.NoBody, nil
	}
	if r.ContentLength > max {
		return nil, tooLarge(max)
	}
	outer := &bounded{r: body, c: body, left: max, max: max}
	switch coding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); coding {
	case "", "identity":
		return outer, nil
	case "gzip":
		return &bounded{r: &inflate{src: outer}, c: body, left: max, max: max}, nil
	case own:
		return outer, nil
	default:
		return nil, errs.E(errs.Invalid, "http", "Content-Encoding", "请求正文只能用 gzip 压缩或不压缩。", "A request body may be compressed with gzip, or not at all.").At("Content-Encoding")
	}
}

func tooLarge(max int64) error {
	size := strconv.FormatInt(max>>20, 10) + " MB"
	if max < 1<<20 {
		size = strconv.FormatInt(max>>10, 10) + " KB"
	}
	return errs.E(errs.TooLarge, "http", "body", "请求正文超过 "+size+" 的上限；请分批发送。", "The request body is larger than "+size+"; send it in parts.")
}

// bounded reads at most left bytes more.
type bounded struct {
	r    io.Reader
	c    io.Closer
	left int64
	max  int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if b.left < 0 {
		return 0, tooLarge(b.max)
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, tooLarge(b.max)
	}
	return n, err
}

func (b *bounded) Close() error { return b.c.Close() }

// inflate opens the gzip stream at the first read, so that a request whose body
// nobody reads costs nothing.
type inflate struct {
	src io.Reader
	z   *gzip.Reader
}

func (i *inflate) Read(p []byte) (int, error) {
	if i.z == nil {
		z, err := gzip.NewReader(i.src)
		if err != nil {
			return 0, badGzip(err)
		}
		i.z = z
	}
	n, err := i.z.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = badGzip(err)
	}
	return n, err
}

func badGzip(err error) error {
	var e *errs.Error
	if errors.As(err, &e) {
		return err
	}
	return errs.E(errs.Invalid, "http", "body", "请求正文不是完整的 gzip 数据；请重新压缩后发送。", "The request body is not whole gzip data; compress it again and resend.").Because(err)
}
