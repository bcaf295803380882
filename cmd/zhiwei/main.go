// Command zhiwei runs a hospital's applications and keeps the hospital well by
// itself. This package wires; it holds no rules.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"zhiwei/kernel/errs"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "dev"

// command is one subcommand.
type command struct {
	name    string
	summary string
	example string
	run     func(ctx context.Context, e env, args []string) error
}

// env is what a command may touch outside its arguments.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

var commands []command

func init() {
	commands = []command{
		{"serve", "run the hospital 运行", "zhiwei serve --data ./data --listen 127.0.0.1:8080", serve},
		{"agent", "measure this machine and push to a centre 采集本机并推送", agentExample, agent},
		{"token create", "make a service token and print it alone 创建服务令牌", "zhiwei token create --data ./data --name lis --scope 'system/*.cruds'", tokenCreate},
		{"import fhir", "load FHIR R4 files or folders 导入 FHIR 数据", "zhiwei import fhir --data ./data bundles/", importFHIR},
		{"import codes", "load a code system: diagnoses, drugs, items 导入代码系统", "zhiwei import codes --data ./data --system http://hospital.example/drugs drugs.csv", importCodes},
		{"check", "read everything, print one line per damaged thing 校验", "zhiwei check --data ./data", check},
		{"version", "print the version 版本", "zhiwei version", printVersion},
	}
	commands = append(commands, engineCommands...)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, env{os.Stdin, os.Stdout, os.Stderr, os.Getenv}, os.Args[1:])
	stop()
	os.Exit(code)
}

// usage is a mistake in the command line: it is answered with the help.
type usage struct{ text string }

func (u usage) Error() string { return u.text }

// quiet ends a command with an exit code and nothing more to say.
type quiet int

func (q quiet) Error() string { return fmt.Sprint("exit ", int(q)) }

// run does what the arguments say and gives the exit code: 0 done, 1 it did not
// work, 2 the command line was wrong.
func run(ctx context.Context, e env, args []string) int {
	if len(args) == 0 || slices.Contains([]string{"-h", "--help", "help"}, args[0]) {
		help(e.stdout)
		return 0
	}
	for _, c := range commands {
		words := strings.Fields(c.name)
		if len(args) < len(words) || !slices.Equal(args[:len(words)], words) {
			continue
		}
		err := c.run(ctx, e, args[len(words):])
		var u usage
		var q quiet
		switch {
		case err == nil || errors.Is(err, flag.ErrHelp):
			return 0
		case errors.As(err, &q):
			return int(q)
		case errors.As(err, &u):
			fmt.Fprintf(e.stderr, "%s\n例 example: %s\n", u.text, c.example)
			return 2
		default:
			zh, en := errs.Sentence(err, "zh"), errs.Sentence(err, "en")
			fmt.Fprintln(e.stderr, zh)
			if en != zh {
				fmt.Fprintln(e.stderr, en)
			}
			if errs.KindOf(err) == errs.Internal {
				fmt.Fprintln(e.stderr, err)
			}
			return 1
		}
	}
	fmt.Fprintf(e.stderr, "没有命令 %q。 There is no command %q.\n\n", strings.Join(args, " "), args[0])
	help(e.stderr)
	return 2
}

func help(w io.Writer) {
	fmt.Fprintln(w, "zhiwei 治未 — 一个程序，运行医院的应用，并让医院自己保持健康。")
	fmt.Fprintln(w, "One program that runs a hospital's applications and keeps the hospital well by itself.")
	fmt.Fprintln(w)
	for _, c := range commands {
		fmt.Fprintf(w, "  %-14s %s\n", c.name, c.summary)
		fmt.Fprintf(w, "  %-14s   %s\n", "", c.example)
	}
	fmt.Fprintln(w, "\nzhiwei COMMAND -h 显示参数 shows the flags of a command.")
}

// flags makes the flag set of a command; parse is its last step.
func flags(e env, name, example string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(e.stderr)
	fs.Usage = func() {
		fmt.Fprintf(e.stderr, "zhiwei %s\n例 example: %s\n\n", name, example)
		fs.PrintDefaults()
	}
	return fs
}

func parse(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usage{err.Error()}
	}
	return nil
}

// noRest refuses arguments that no flag takes.
func noRest(fs *flag.FlagSet) error {
	if fs.NArg() > 0 {
		return usage{fmt.Sprintf("多余的参数 %q。 Unknown argument %q.", fs.Arg(0), fs.Arg(0))}
	}
	return nil
}

func printVersion(_ context.Context, e env, args []string) error {
	fs := flags(e, "version", "zhiwei version")
	if err := parse(fs, args); err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, "zhiwei", version)
	return noRest(fs)
}
