package winrm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"

	"zhiwei/kernel/errs"
)

// Command is a program to run.
type Command struct {
	Program        string
	Args           []string          // joined by blanks: what holds blanks is quoted as the program wants it
	Env            map[string]string // seen by the program only, so secrets may stand here
	Dir            string
	Stdout, Stderr io.Writer // nil: thrown away
}

// Run runs a program and gives its exit status, which is no error. Errors:
// Unavailable, Unauthenticated and Forbidden where it was not started, Unknown
// where it may have been and its end is not known. When ctx ends the program is
// ended too and the error is Unknown.
func (c *Client) Run(ctx context.Context, cmd Command) (int, error) {
	a, _, err := c.ask(ctx, create(cmd.Env, cmd.Dir))
	if err != nil {
		return 0, err // a shell that nobody uses is ended by the server
	}
	shell := a.shell()
	if shell == "" {
		return 0, errs.E(errs.Unavailable, op, c.at, c.at+" 没有给出外壳的编号。", c.at+" did not name the shell.")
	}
	id, done := "", false
	defer func() {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyWithin)
		defer cancel()
		if id != "" { // also after the end: it frees what the server keeps of the command
			_, _, _ = c.ask(after, terminate(shell, id))
		}
		// What cannot be removed the server removes by itself, after idle.
		_, _, _ = c.ask(after, remove(shell))
	}()
	a, sent, err := c.ask(ctx, command(shell, cmd.Program, cmd.Args))
	if err != nil {
		if sent {
			return 0, Unknown{err}
		}
		return 0, err
	}
	if id = strings.TrimSpace(a.CommandID); id == "" {
		return 0, Unknown{errs.E(errs.Unavailable, op, c.at, c.at+" 没有给出命令的编号。", c.at+" did not name the command.")}
	}
	for code := 0; ; {
		a, _, err := c.ask(ctx, receive(shell, id))
		var f *fault
		switch {
		case errors.As(err, &f) && f.timedOut() && ctx.Err() == nil:
			continue // it is silent
		case err != nil:
			return 0, Unknown{err}
		case a.Received == nil:
			return 0, Unknown{errs.E(errs.Unavailable, op, c.at, c.at+" 的应答里没有命令的输出。", "The answer of "+c.at+" holds no output of the command.")}
		}
		var out, complaint []byte
		if out, complaint, code, done, err = a.Received.output(id); err != nil {
			return 0, Unknown{errs.E(errs.Unavailable, op, c.at, c.at+" 的应答读不懂。", "The answer of "+c.at+" cannot be read.").Because(err)}
		}
		for _, w := range []struct {
			to   io.Writer
			text []byte
		}{{cmd.Stdout, out}, {cmd.Stderr, complaint}} {
			if w.to == nil || len(w.text) == 0 {
				continue
			}
			if _, err := w.to.Write(w.text); err != nil {
				return 0, Unknown{errs.Wrap(op, c.at, err)}
			}
		}
		if done {
			return code, nil
		}
	}
}

// maxScript bounds a script of PowerShell: Windows takes 32,767 characters in a
// command line, and a character of the script becomes 8/3.
const maxScript = 12000

// Preamble stands before every script: what fails ends it with status 1, no
// progress is told, and what it says is UTF-8 in any language of Windows.
const Preamble = "$ErrorActionPreference='Stop';$ProgressPreference='SilentlyContinue';[Console]::OutputEncoding=New-Object Text.UTF8Encoding $false\n"

// PowerShell runs a script of PowerShell, 3.0 or later, with env as variables of
// its environment ($env:NAME). The script stands in the command line, so secrets
// belong in env. Its exit status is that of "exit N", else 0, or 1 where it
// failed; that of programs it starts is for the script to look at ($LASTEXITCODE).
// Errors as of Run, and Invalid for a script longer than 12,000 characters.
func (c *Client) PowerShell(ctx context.Context, script string, env map[string]string, stdout, stderr io.Writer) (int, error) {
	text := utf16le(Preamble + script)
	if len(text)/2 > maxScript {
		return 0, errs.E(errs.Invalid, op, c.at, "脚本太长：最多 "+strconv.Itoa(maxScript)+" 个字符。", "The script is too long: at most "+strconv.Itoa(maxScript)+" characters.")
	}
	complaint := &bounded{max: maxComplaint}
	code, err := c.Run(ctx, Command{
		Program: "powershell.exe",
		Args:    []string{"-NoProfile", "-NonInteractive", "-EncodedCommand", base64.StdEncoding.EncodeToString(text)},
		Env:     env, Stdout: stdout, Stderr: complaint,
	})
	if stderr != nil && complaint.Len() > 0 {
		if _, e := io.WriteString(stderr, complaints(complaint.Bytes())); e != nil && err == nil {
			err = errs.Wrap(op, c.at, e)
		}
	}
	return code, err
}

// maxComplaint bounds what is kept of the error output of a script.
const maxComplaint = 256 << 10

// bounded keeps the first max bytes and swallows the rest.
type bounded struct {
	bytes.Buffer
	max int
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.max - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// maxSaid bounds what Said keeps.
const maxSaid = 4 << 20

// Said runs a script of PowerShell and gives what it said, cut off at 4 MiB. A
// status other than 0 is an error, Unavailable, that quotes its complaint. Errors
// as of PowerShell.
func (c *Client) Said(ctx context.Context, script string, env map[string]string) ([]byte, error) {
	out, complaint := &bounded{max: maxSaid}, &bounded{max: 2000}
	code, err := c.PowerShell(ctx, script, env, out, complaint)
	if err == nil && code != 0 {
		err = errs.E(errs.Unavailable, op, c.at, "脚本在 "+c.at+" 上以 "+strconv.Itoa(code)+" 结束："+complaint.String(), "The script ended on "+c.at+" with "+strconv.Itoa(code)+": "+complaint.String())
	}
	return out.Bytes(), err
}

var clixmlEscape = regexp.MustCompile(`_x([0-9A-Fa-f]{4})_`)

// complaints reads the error output of PowerShell, which is CLIXML ([MS-PSRP]
// 2.2.5) where nobody looks at a screen. What is no CLIXML stays as it is; what
// is broken off gives what stands before.
func complaints(text []byte) string {
	head, rest, ok := bytes.Cut(text, []byte("\n"))
	if !ok || strings.TrimSpace(string(head)) != "#< CLIXML" {
		return string(text)
	}
	var b strings.Builder
	in := false
	for d := xml.NewDecoder(bytes.NewReader(rest)); ; {
		t, err := d.Token()
		if err != nil {
			return b.String()
		}
		switch x := t.(type) {
		case xml.StartElement:
			in = x.Name.Local == "S" && len(x.Attr) == 1 && x.Attr[0].Name.Local == "S" && (x.Attr[0].Value == "Error" || x.Attr[0].Value == "Warning")
		case xml.EndElement:
			in = false
		case xml.CharData:
			if in {
				b.WriteString(unescape(string(x)))
			}
		}
	}
}

// unescape replaces _xHHHH_ by its UTF-16 unit.
func unescape(s string) string {
	var units []uint16
	for {
		at := clixmlEscape.FindStringSubmatchIndex(s)
		if at == nil {
			return strings.ReplaceAll(string(utf16.Decode(append(units, utf16.Encode([]rune(s))...))), "\r\n", "\n")
		}
		n, _ := strconv.ParseUint(s[at[2]:at[3]], 16, 16) // four hexadecimal digits
		units = append(append(units, utf16.Encode([]rune(s[:at[0]]))...), uint16(n))
		s = s[at[1]:]
	}
}
