package automation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/drive/ssh"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// A job is a script that runs in a session of its own, on this machine or
// another, and leaves behind what came of it in a folder named by its token:
//
//	cmd     the script, there until it begins (secrets are in it)
//	begun   a folder: making it is the one act that begins the job
//	pid     of the session
//	out     what it said
//	status  its exit status, written when it has ended
//
// So whoever comes with the same token, after we were killed or the line was
// lost, finds out what became of it, and cannot begin it twice. Only a machine
// that dies, or a kill between "begun" and the start a moment later, leaves it
// unclear.
type job struct {
	shell shell
	base  string // folder of jobs, as the shell there writes it
	token string
}

// ended is how a job came to its end.
type ended struct {
	code    int
	unclear bool // begun, gone, and no status
}

// jobDays is how long the folder of a job that nobody cleared is kept there.
const jobDays = 7

// Exit statuses of the scripts below, beside those of the shell.
const (
	exitBegun = 77 // it had begun before
	exitPart  = 78 // the script did not arrive whole
	exitLost  = 79 // begun, gone, no status
	exitNone  = 80 // no such job
)

// gone tells in shell whether the session of the job has ended. The command line
// of the session holds its folder, so a process number used again by another
// program is not mistaken for it.
const gone = `gone() { p=$(cat "$d/pid" 2>/dev/null) || return 0; [ -n "$p" ] || return 0
  case "$(tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null || ps -o args= -p "$p" 2>/dev/null)" in *"$d"*) return 1;; esac; return 0; }
`

// begin begins the job unless it has begun. body is a POSIX script; it is sent
// over standard input and so appears in no process list.
func (j job) begin(ctx context.Context, body string) error {
	mark := "#end " + j.token
	script := `umask 077; b=` + j.base + `; d="$b/` + j.token + `"
mkdir -p "$d" || exit 76
[ -d "$d/begun" ] && exit ` + strconv.Itoa(exitBegun) + `
cat >"$d/cmd.part" || exit 76
[ "$(tail -n 1 "$d/cmd.part")" = ` + ssh.Quote(mark) + ` ] || exit ` + strconv.Itoa(exitPart) + `
mv "$d/cmd.part" "$d/cmd" || exit 76
find "$b" -mindepth 1 -maxdepth 1 -mtime +` + strconv.Itoa(jobDays) + ` -exec rm -rf {} + 2>/dev/null
mkdir "$d/begun" 2>/dev/null || exit ` + strconv.Itoa(exitBegun) + `
export ZHIWEI_ACTION=` + j.token + `
s=setsid; command -v setsid >/dev/null 2>&1 || s=
$s sh -c 'echo $$ >"$1/pid"; sh "$1/cmd" >>"$1/out" 2>&1 </dev/null; c=$?; echo $c >"$1/status.part"; mv "$1/status.part" "$1/status"' zhiwei-job "$d" >/dev/null 2>&1 </dev/null &
i=0; while [ ! -e "$d/pid" ] && [ ! -e "$d/status" ] && [ $i -lt 500 ]; do sleep 0.01; i=$((i+1)); done
exit 0`
	// The script takes itself away as its first act: a secret in it is on the disk
	// for a moment only. The shell goes on reading the file it has open.
	text := "rm -f \"$(dirname \"$0\")/cmd\"\n" + body + "\n" + mark + "\n"
	said := &collect{max: 2000}
	code, err := j.shell.Exec(ctx, script, strings.NewReader(text), io.Discard, said)
	switch {
	case err != nil:
		return err // nothing is lost: whoever asks again finds out
	case code == 0 || code == exitBegun:
		return nil
	case code == exitPart:
		return errs.E(errs.Unavailable, "job", j.token, "命令没有完整送达，没有执行；请重试。", "The command did not arrive whole and was not run; try again.")
	}
	return errs.E(errs.Unavailable, "job", j.token, "目标上放不下任务文件夹："+said.String(), "The folder of the job cannot be made there: "+said.String())
}

// maxThere is how much output a job may leave on its machine before what we have
// read of it is cut off.
const maxThere = 32 << 20

// follow passes on what the job says from an offset on, until it has ended or
// ctx does; from is where to go on then.
func (j job) follow(ctx context.Context, from *int64, out io.Writer) (ended, error) {
	script := `b=` + j.base + `; d="$b/` + j.token + `"; off=` + strconv.FormatInt(*from, 10) + `
` + gone + `[ -d "$d/begun" ] || exit ` + strconv.Itoa(exitNone) + `
w=0.02; quiet=0
while :; do
  fin=; if [ -e "$d/status" ]; then fin=1; elif gone; then quiet=$((quiet+1)); [ $quiet -ge 3 ] && fin=2; else quiet=0; fi
  n=$(wc -c <"$d/out" 2>/dev/null) || n=0
  [ "$n" -lt "$off" ] && off=0
  if [ "$n" -gt "$off" ]; then tail -c +$((off+1)) "$d/out" | head -c $((n-off)); off=$n
    if [ "$n" -gt ` + strconv.Itoa(maxThere) + ` ]; then : >"$d/out"; off=0; fi
    w=0.02
  fi
  [ -n "$fin" ] && break
  sleep $w; case $w in 0.02) w=0.05;; 0.05) w=0.1;; 0.1) w=0.3;; *) w=0.5;; esac
done
[ $fin = 2 ] && [ ! -e "$d/status" ] && exit ` + strconv.Itoa(exitLost) + `
cat "$d/status" >&2; exit 0`
	status := &collect{max: 100}
	counted := writerFunc(func(p []byte) (int, error) {
		*from += int64(len(p))
		return out.Write(p)
	})
	code, err := j.shell.Exec(ctx, script, nil, counted, status)
	switch {
	case err != nil:
		return ended{}, err
	case code == exitLost:
		return ended{unclear: true}, nil
	case code == exitNone:
		return ended{}, errs.E(errs.NotFound, "job", j.token, "目标上没有这个任务。", "There is no such job there.")
	}
	n, err := strconv.Atoi(strings.TrimSpace(status.String()))
	if err != nil {
		return ended{}, errs.E(errs.Unavailable, "job", j.token, "读不到任务的结果："+status.String(), "The outcome of the job cannot be read: "+status.String())
	}
	return ended{code: n}, nil
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// stop ends the whole session of the job: asked, and after five seconds made to,
// or after one where only what its first process left behind goes on.
func (j job) stop(ctx context.Context) error {
	script := `b=` + j.base + `; d="$b/` + j.token + `"
` + gone + `gone && exit 0
kill -TERM "-$p" 2>/dev/null || kill -TERM "$p" 2>/dev/null
i=0; while kill -0 "-$p" 2>/dev/null && [ $i -lt 50 ]; do gone && [ $i -ge 10 ] && break; sleep 0.1; i=$((i+1)); done
kill -KILL "-$p" 2>/dev/null
gone || kill -KILL "$p" 2>/dev/null
exit 0`
	_, err := j.shell.Exec(ctx, script, nil, io.Discard, io.Discard)
	return err
}

// forget clears the job's folder.
func (j job) forget(ctx context.Context) error {
	_, err := j.shell.Exec(ctx, `b=`+j.base+`; rm -rf "$b/`+j.token+`"`, nil, io.Discard, io.Discard)
	return err
}

// run begins the job, or takes it up again, and follows it to its end, over
// lost lines as long as ctx lasts. When ctx ends the job is stopped.
func (c *Call) run(ctx context.Context, body string) (Result, error) {
	var from int64
	begun := false
	for failures := 1; ; failures++ {
		sh, base, err := c.reach.shell(ctx, c.Target)
		if err == nil {
			j := job{shell: sh, base: base, token: c.Token}
			if !begun {
				err = j.begin(ctx, body)
				begun = err == nil
			}
			if err == nil {
				var e ended
				if e, err = j.follow(ctx, &from, c.Out); err == nil {
					return e.result(), c.doubt(e)
				}
			}
			if ctx.Err() != nil {
				return c.cut(ctx, j, begun, err)
			}
		}
		var lost ssh.Unknown
		if errs.Is(err, errs.Unavailable) || errors.As(err, &lost) {
			// Nothing was begun, so the plan may decide whether to try again; once it
			// was, giving up would leave it unclear.
			if !begun && !c.Again && !errors.As(err, &lost) || failures > 20 {
				return Result{}, c.maybe(begun || errors.As(err, &lost), err)
			}
			if e := pauseFor(ctx, c.Clock(), Wait(min(failures, 4))); e != nil {
				return Result{}, c.maybe(true, err)
			}
			continue
		}
		return Result{}, c.maybe(begun, err)
	}
}

func (c *Call) maybe(begun bool, err error) error {
	if begun || c.Again {
		return Unclear(err)
	}
	return err
}

func (c *Call) doubt(e ended) error {
	if e.unclear {
		return Unclear(errs.E(errs.Unavailable, "job", c.Token, "命令开始过，但没有留下结果（机器可能重启过）。", "The command had begun and left no outcome; the machine may have been restarted."))
	}
	return nil
}

// cut stops a job whose time is over.
func (c *Call) cut(ctx context.Context, j job, begun bool, cause error) (Result, error) {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return Result{}, ctx.Err() // we are going; the job goes on, and is found again
	}
	if !begun && !c.Again {
		return Result{}, c.maybe(errors.As(cause, new(ssh.Unknown)), errs.Wrap("job", c.Token, cause))
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	if err := j.stop(after); err != nil {
		return Result{}, Unclear(err)
	}
	var from int64
	if e, err := j.follow(after, &from, io.Discard); err == nil && !e.unclear {
		return e.result(), nil // it had just ended by itself
	}
	if errors.Is(context.Cause(ctx), errCancelled) {
		return Result{}, Unclear(errs.E(errs.Conflict, "job", c.Token, "执行被取消，命令在中途被结束。", "The run was cancelled and the command ended midway."))
	}
	return Result{}, Unclear(errs.E(errs.Unavailable, "job", c.Token, "没有在时限内完成，已强行结束。", "It was not done within its time limit and was ended."))
}

func (e ended) result() Result {
	if e.unclear {
		return Result{}
	}
	r := Result{OK: e.code == 0, Code: e.code}
	if !r.OK {
		r.Say = kind.T(fmt.Sprintf("命令以 %d 结束。", e.code), fmt.Sprintf("The command ended with %d.", e.code))
		switch e.code {
		case 127:
			r.Say = kind.T("目标上没有这个命令（127）。", "There is no such command there (127).")
		case 126:
			r.Say = kind.T("目标上不允许运行这个命令（126）。", "The command may not be run there (126).")
		}
	}
	return r
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// exports writes environment variables as shell. Invalid for a name that is none.
func exports(env map[string]string) (string, error) {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(env)) {
		if !envName.MatchString(k) {
			return "", errs.E(errs.Invalid, "environment", k, "环境变量名 "+k+" 不合法。", k+" is no name of an environment variable.")
		}
		fmt.Fprintf(&b, "export %s=%s\n", k, ssh.Quote(env[k]))
	}
	return b.String(), nil
}

// words writes arguments as shell.
func words(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = ssh.Quote(a)
	}
	return strings.Join(out, " ")
}
