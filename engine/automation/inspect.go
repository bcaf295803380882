package automation

import (
	"context"
	"strings"
	"sync"
	"time"

	"zhiwei/drive/ssh"
	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
)

const (
	// inspectFor is how long a look at a thing may take, inspectWindowsFor one by
	// PowerShell, which needs seconds to begin; maxLooked is how much of what it says
	// is kept.
	inspectFor        = 5 * time.Second
	inspectWindowsFor = 20 * time.Second
	maxLooked         = 4096
)

// Inspect looks at a thing with a POSIX script that changes nothing, where its
// labels say how it is reached. The script stands word for word; with becomes its
// environment. What stands behind a line "#windows" is for Windows, in
// PowerShell, where it has twenty seconds. Errors: Unavailable where the thing
// cannot be reached, the script has no part for it or did not end in five seconds,
// and those of finding the thing.
func (e *Engine) Inspect(ctx context.Context, k *kernel.Kernel, thing, script string, with map[string]string) (code int, said string, err error) {
	r := &reach{kernel: k, clock: k.Clock(), redact: &redactor{}, folder: e.folder}
	defer r.close()
	t, err := r.target(ctx, engine.ThingKind+"/"+strings.TrimPrefix(thing, engine.ThingKind+"/"))
	if err != nil {
		return 0, "", err
	}
	limit := inspectFor
	if t.Via == "winrm" {
		limit = inspectWindowsFor
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	posix, windows := lookParts(script)
	if t.Via == "winrm" {
		code, said, err = r.inspectWindows(ctx, t, windows, with)
		return code, r.redact.text(strings.TrimSpace(said)), err
	}
	sh, _, err := r.shell(ctx, t)
	if err != nil {
		return 0, "", err
	}
	env, err := exports(with)
	if err != nil {
		return 0, "", err
	}
	out := &bounded{}
	code, err = sh.Exec(ctx, env+"sh -uc "+ssh.Quote(posix), nil, out, out)
	if err != nil {
		return 0, "", errs.E(errs.Unavailable, "inspect", t.Name, "没能在 5 秒内查看“"+t.Name+"”。", "“"+t.Name+"” could not be looked at within five seconds.").Because(err)
	}
	return code, r.redact.text(strings.TrimSpace(out.String())), nil
}

// bounded keeps the beginning of what is written, by several at once, and forgets
// the rest.
type bounded struct {
	mu   sync.Mutex
	kept []byte
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, p[:min(max(maxLooked-len(b.kept), 0), len(p))]...)
	return len(p), nil
}

func (b *bounded) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.kept)
}
