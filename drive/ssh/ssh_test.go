package ssh

import (
	"net"
	"os/exec"
	"strings"
	"testing"

	"zhiwei/kernel/errs"
)

// A word quoted for the shell comes out of the shell as it went in.
func TestQuote(t *testing.T) {
	for _, s := range []string{"", "a", "it's", `"$HOME" \ $(x) ` + "`y`", "a\nb", "''", "密码"} {
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+Quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q became %q, %v", s, out, err)
		}
	}
}

// Nothing is dialled without an account, a way to sign in and a host key.
func TestDialAsksForWhatItNeeds(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
	for name, c := range map[string]Config{
		"no account":  {Address: "127.0.0.1", Password: "x", HostKey: key},
		"no secret":   {Address: "127.0.0.1", User: "u", HostKey: key},
		"no host key": {Address: "127.0.0.1", User: "u", Password: "x"},
		"bad key":     {Address: "127.0.0.1", User: "u", Key: "nonsense", HostKey: key},
	} {
		if _, err := Dial(t.Context(), c); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	if _, err := Dial(t.Context(), Config{Address: addr, User: "u", Password: "x", HostKey: key}); !errs.Is(err, errs.Unavailable) {
		t.Errorf("nobody there: %v", err)
	}
}

// Whatever stands as a host key is read or refused, and what is read is a
// fingerprint.
func FuzzHostKey(f *testing.F) {
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl")
	f.Add("SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU")
	f.Add("ssh-rsa AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		print, _, err := hostKey(s)
		if err == nil && !strings.HasPrefix(print, "SHA256:") {
			t.Fatalf("%q: %q", s, print)
		}
	})
}
