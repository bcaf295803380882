package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/web"
)

// drain is how long a stop waits for what is being answered. A stream that
// lasts longer is cut and resumes elsewhere.
const drain = 20 * time.Second

func serve(ctx context.Context, e env, args []string) error {
	fs := flags(e, "serve", "zhiwei serve --data ./data --listen 127.0.0.1:8080")
	dir := fs.String("data", "", "数据目录 data folder (made if it is not there)")
	listen := fs.String("listen", "127.0.0.1:8080", "监听地址 address to listen on")
	storeURL := fs.String("store", "", "记录库 sqlite or postgres://… (remembered)")
	blobs := fs.String("blobs", "", "附件目录 folder for blobs (remembered; default in the data folder)")
	seriesAt := fs.String("series", "", "测量数据 local (remembered)")
	site := fs.String("site", "", "站点名称 name of this site, at first start (remembered)")
	file := fs.String("config", "", "配置文件 configuration file (YAML)")
	if err := parse(fs, args); err != nil {
		return err
	}
	if err := noRest(fs); err != nil {
		return err
	}
	if *dir == "" {
		return usage{"请用 --data 指明数据目录。 Say the data folder with --data."}
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return errs.E(errs.Unavailable, "serve", *dir, "无法建立数据目录 "+*dir+"。", "The data folder "+*dir+" cannot be made.").Because(err)
	}
	release, err := lock(*dir)
	if err != nil {
		return err
	}
	defer release()
	set, err := loadSettings(*dir)
	if err != nil {
		return err
	}
	choose := func(into *string, given string) {
		if given != "" {
			*into = given
		}
	}
	choose(&set.Store, *storeURL)
	choose(&set.Blobs, *blobs)
	choose(&set.Series, *seriesAt)
	choose(&set.Site, *site)
	if set.Series != "local" {
		return usage{fmt.Sprintf("--series 目前只支持 local，不能是 %q。 --series takes local, not %q.", set.Series, set.Series)}
	}
	conf, err := loadConfig(*file)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(e.stderr, nil))
	h, err := openHouse(ctx, *dir, set, conf, log)
	if err != nil {
		return err
	}
	defer h.close(context.WithoutCancel(ctx))
	if err := set.save(*dir); err != nil { // only settings that opened are remembered
		return err
	}
	// The address first: nothing must act by itself in a process that cannot serve.
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return errs.E(errs.Unavailable, "listen", *listen, "无法监听 "+*listen+"，端口可能已被占用；请换一个或停止占用它的程序。", *listen+" cannot be listened on, perhaps it is taken; choose another or stop what uses it.").Because(err)
	}
	defer l.Close()
	if err := h.start(ctx, true); err != nil {
		return err
	}
	go spareMemory(ctx, e)
	return h.serve(ctx, e, l)
}

// serve answers until ctx ends, then finishes what is being answered.
func (h *house) serve(ctx context.Context, e env, l net.Listener) error {
	first, err := h.people.People.Bootstrap(ctx, e.getenv("ZHIWEI_ADMIN_PASSWORD"))
	if err != nil {
		return err
	}
	stopSocket, err := h.listenSocket()
	if err != nil {
		return err
	}
	defer stopSocket()
	srv := h.server(false)
	serving, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	srv.BaseContext = func(net.Listener) context.Context { return serving }
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()

	fmt.Fprintf(e.stdout, "治未 zhiwei %s  http://%s\n", version, l.Addr())
	if !web.Built() {
		fmt.Fprintln(e.stdout, "页面尚未构建：请运行 make build。 The pages are not built: run make build.")
	}
	if host, _, err := net.SplitHostPort(l.Addr().String()); err == nil && !net.ParseIP(host).IsLoopback() {
		fmt.Fprintln(e.stdout, "注意：监听的不是本机地址，且未加密；请在前面放置 TLS 代理。 Note: not a loopback address and not encrypted; put a TLS proxy in front.")
	}
	if first.Login != "" {
		fmt.Fprintf(e.stdout, "首次登录 first sign-in: %s\n", first.Login)
		if first.OneTime {
			fmt.Fprintf(e.stdout, "一次性口令 one-time password: %s\n", first.Password)
		} else {
			fmt.Fprintln(e.stdout, "口令 password: $ZHIWEI_ADMIN_PASSWORD")
		}
		fmt.Fprintln(e.stdout, "请用它任命系统、安全、审计三位管理员。 Use it to appoint the system, security and audit administrators.")
	}

	select {
	case err := <-ended:
		return errs.Wrap("serve", l.Addr().String(), err)
	case <-ctx.Done():
	}
	h.log.Info("stopping")
	// Streams end at once, so that pages reconnect elsewhere; answers are finished.
	time.AfterFunc(drain/4, endStreams)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := srv.Shutdown(last); err != nil && !errors.Is(err, http.ErrServerClosed) {
		h.log.Warn("some answers were cut off", "err", err)
		srv.Close()
	}
	return nil
}
