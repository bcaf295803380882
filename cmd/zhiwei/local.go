package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"zhiwei/kernel/errs"
)

const (
	socketFile = "zhiwei.sock"
	lockFile   = "zhiwei.lock"
)

// lock takes the data folder for this process alone. It fails with Conflict
// where another process has it. The lock goes with the process, so a kill leaves
// nothing behind.
func lock(dir string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errs.E(errs.Unavailable, "lock", dir, "无法使用数据目录 "+dir+"，请检查路径和权限。", "The data folder "+dir+" cannot be used; check the path and its rights.").Because(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, errs.E(errs.Conflict, "lock", dir, "数据目录 "+dir+" 正被另一个进程使用。", "The data folder "+dir+" is in use by another process.").Because(err)
	}
	return func() { f.Close() }, nil
}

// dial tells whether a serve answers on the folder's socket.
func dial(ctx context.Context, dir string) (*http.Client, bool) {
	path := filepath.Join(dir, socketFile)
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, false
	}
	c.Close()
	return &http.Client{Transport: &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
		MaxIdleConnsPerHost: 16,
	}}, true
}

// client is a way to the house that a command speaks to: the running serve of a
// data folder, or one opened for the command alone.
type client struct {
	http  *http.Client
	base  string
	house *house // the one opened for the command alone; nil elsewhere
}

// withHouse gives f a client to the house of a data folder: beside a running
// serve through its socket, else by opening the folder exclusively for the time
// of the command, without applications and loops.
func withHouse(ctx context.Context, e env, dir string, f func(c client) error) error {
	if dir == "" {
		return usage{"请用 --data 指明数据目录。 Say the data folder with --data."}
	}
	if c, running := dial(ctx, dir); running {
		return f(client{http: c, base: "http://zhiwei"})
	}
	if _, err := os.Stat(dir); err != nil {
		return errs.E(errs.NotFound, "open", dir, "数据目录 "+dir+" 不存在；请先运行 zhiwei serve --data "+dir+"。", "There is no data folder "+dir+"; run zhiwei serve --data "+dir+" first.").Because(err)
	}
	release, err := lock(dir)
	if err != nil {
		if c, running := dial(ctx, dir); running { // it started meanwhile
			return f(client{http: c, base: "http://zhiwei"})
		}
		return err
	}
	defer release()
	s, err := loadSettings(dir)
	if err != nil {
		return err
	}
	h, err := openHouse(ctx, dir, s, noConfig(), quietLog(e))
	if err != nil {
		return err
	}
	defer h.close(context.WithoutCancel(ctx))
	if err := h.start(ctx, false); err != nil {
		return err
	}
	stop, err := h.listenSocket()
	if err != nil {
		return err
	}
	defer stop()
	c, ok := dial(ctx, dir)
	if !ok {
		return errs.E(errs.Unavailable, "open", dir, "无法打开本地接口。", "The local socket cannot be opened.")
	}
	return f(client{http: c, base: "http://zhiwei", house: h})
}

// do sends a request and returns the answer; an error answer becomes an error
// with the server's own sentence.
func (c client) do(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, errs.Wrap(method, path, err)
	}
	req.Header.Set("Accept-Language", "zh")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, errs.E(errs.Unavailable, method, path, "无法连接到服务，请确认它在运行。", "The server cannot be reached; check that it is running.").Because(err)
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	var problem struct {
		Title, Detail string
		Issue         []struct{ Diagnostics string }
	}
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(raw, &problem)
	}
	if problem.Detail == "" && len(problem.Issue) > 0 {
		problem.Detail = problem.Issue[0].Diagnostics
	}
	if err != nil || problem.Detail == "" {
		problem.Detail = fmt.Sprintf("HTTP %d", res.StatusCode)
	}
	kinds := map[int]errs.Kind{400: errs.Invalid, 401: errs.Unauthenticated, 403: errs.Forbidden, 404: errs.NotFound, 409: errs.Conflict, 412: errs.Conflict, 413: errs.TooLarge, 422: errs.Invalid, 429: errs.Rate, 503: errs.Unavailable}
	kind, ok := kinds[res.StatusCode]
	if !ok {
		kind = errs.Internal
	}
	return nil, errs.E(kind, method, path, problem.Detail, problem.Detail)
}

// listenSocket answers on the folder's socket, which only its owner may open.
func (h *house) listenSocket() (stop func(), err error) {
	path := filepath.Join(h.dir, socketFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errs.Wrap("socket", path, err)
	}
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, errs.E(errs.Unavailable, "socket", path, "无法建立本地接口 "+path+"（路径过长或无权限）。", "The local socket "+path+" cannot be made (path too long, or no right).").Because(err)
	}
	srv := h.server(true)
	go func() {
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("socket", "err", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			srv.Close()
		}
	}, nil
}
