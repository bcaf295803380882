package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// errGone is what /proc answers for a process that ends while it is read.
var errGone = syscall.ESRCH

// maxLog is how large a log may be before the next start sets it aside as
// LOG.1: two of them bound the disk a service's output takes between starts.
const maxLog = 16 << 20

// Command is what to start.
type Command struct {
	Args  []string // program and arguments; no shell
	Dir   string   // working directory; empty: /
	Env   []string // NAME=value, over our own environment
	Log   string   // file that takes its output, appended
	Token string   // put into Marker
}

// Exit is how a program that this process started came to its end.
type Exit struct {
	At     time.Time
	Code   int    // exit status; -1 where a signal ended it
	Signal string // name of that signal; empty where it exited
}

// Launcher starts programs and remembers how they ended, as far as they ended
// while it lived. The zero value is ready.
type Launcher struct {
	Clock clock.Clock // nil: the machine's

	mu    sync.Mutex
	ended map[string]Exit
	order []string // tokens in ended, oldest first
}

// maxEnded bounds what a Launcher remembers.
const maxEnded = 256

// Start starts a program in a session of its own, so that neither our end nor a
// signal to our terminal reaches it. Errors: Invalid where there is nothing to
// start or the program does not exist, Forbidden where it may not be run,
// Unavailable where the machine has no room for it.
func (l *Launcher) Start(c Command) (Info, error) {
	const op = "start process"
	if len(c.Args) == 0 || c.Args[0] == "" || c.Token == "" {
		return Info{}, errs.E(errs.Invalid, op, "", "没有可以启动的命令。", "There is no command to start.")
	}
	log, err := openLog(c.Log)
	if err != nil {
		return Info{}, errs.E(errs.Unavailable, op, c.Log, "打不开服务的日志文件；请检查目录与磁盘空间。", "The service's log cannot be opened; check its folder and the disk space.").Because(err)
	}
	defer log.Close()
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/" // not ours: it must not keep a file system busy
	}
	cmd.Env = append(environment(), c.Env...)
	cmd.Env = append(cmd.Env, Marker+"="+c.Token)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Info{}, notStarted(c.Args[0], err)
	}
	i, ok := Get(cmd.Process.Pid) // cannot be gone: nobody has waited for it yet
	go func() {
		_ = cmd.Wait() // its status is in ProcessState; there is nothing else to learn
		l.remember(c.Token, cmd.ProcessState)
	}()
	if !ok {
		return Info{PID: cmd.Process.Pid, Session: cmd.Process.Pid, Name: filepath.Base(c.Args[0]), Args: c.Args}, nil
	}
	i.Args = c.Args
	return i, nil
}

// environment is ours without what is meant for us alone: passwords among it.
func environment() []string {
	var out []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ZHIWEI_") {
			out = append(out, v)
		}
	}
	return out
}

func openLog(name string) (*os.File, error) {
	if name == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	if info, err := os.Stat(name); err == nil && info.Size() > maxLog {
		if err := os.Rename(name, name+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

func notStarted(name string, err error) error {
	const op = "start process"
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return errs.E(errs.Invalid, op, name, "没有找到命令 "+name+" 或它的工作目录；请安装它，或改正配置里的路径。",
			"The command "+name+" or its working directory was not found; install it or correct the path in the configuration.").Because(err)
	case errors.Is(err, syscall.ENOEXEC):
		return errs.E(errs.Invalid, op, name, name+" 不是可以执行的程序；脚本请写明解释器。", name+" is no program this machine can run; name the interpreter of a script.").Because(err)
	case errors.Is(err, os.ErrPermission):
		return errs.E(errs.Forbidden, op, name, "没有权限运行 "+name+"；请检查文件权限和运行本程序的用户。",
			name+" may not be run; check its permissions and the user this program runs as.").Because(err)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		return errs.E(errs.Unavailable, op, name, "本机的内存或进程数已用尽，"+name+" 没有启动；请先释放资源。",
			"This machine has no memory or process numbers left and "+name+" was not started; free some first.").Because(err)
	}
	return errs.Wrap(op, name, err)
}

func (l *Launcher) remember(token string, s *os.ProcessState) {
	clk := l.Clock
	if clk == nil {
		clk = clock.System()
	}
	e := Exit{At: clk.Now(), Code: s.ExitCode()}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		e.Signal = w.Signal().String()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.ended = map[string]Exit{}
	}
	l.ended[token] = e
	if l.order = append(l.order, token); len(l.order) > maxEnded {
		delete(l.ended, l.order[0])
		l.order = l.order[1:]
	}
}

// Ended tells how the program started with the token ended. ok is false where
// it has not, or was started before this process was.
func (l *Launcher) Ended(token string) (e Exit, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok = l.ended[token]
	return e, ok
}

// Stop ends everything that carries the token: asked first (SIGTERM), after
// grace made to (SIGKILL). It returns when nothing is left. Errors: those of
// Marked; Unavailable where ctx ends first or something would not go.
func (l *Launcher) Stop(ctx context.Context, token string, grace time.Duration) error {
	const op = "stop process"
	clk := l.Clock
	if clk == nil {
		clk = clock.System()
	}
	began := clk.Now()
	for round := 0; ; round++ {
		left, err := Marked(token)
		if err != nil || len(left) == 0 {
			return err
		}
		waited := clk.Now().Sub(began)
		if waited > grace+10*time.Second {
			return errs.E(errs.Unavailable, op, left[0].CommandLine(), "进程无法结束（可能卡在磁盘或驱动上）；请人工处理。", "The process cannot be ended, it may be stuck in a disk or driver; a person must see to it.")
		}
		for _, i := range left {
			switch {
			case round == 0:
				err = syscall.Kill(i.PID, syscall.SIGTERM)
			case waited >= grace:
				err = syscall.Kill(i.PID, syscall.SIGKILL)
			}
			if err != nil && !errors.Is(err, syscall.ESRCH) {
				return errs.Wrap(op, i.CommandLine(), err)
			}
		}
		tick, stop := clk.After(20 * time.Millisecond)
		select {
		case <-tick:
		case <-ctx.Done():
			stop()
			return errs.Wrap(op, token, ctx.Err())
		}
	}
}

// Tail gives the last line a log ends with, at most 300 bytes; empty where
// there is none.
func Tail(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	b := make([]byte, 300)
	n, _ := f.ReadAt(b, max(info.Size()-int64(len(b)), 0)) // the end of the file is where we want to be
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(b[:n]), "")), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
