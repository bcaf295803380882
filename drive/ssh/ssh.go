// Package ssh runs scripts and moves files on other machines over SSH, with
// nothing installed there but a POSIX shell. It does not decide what is run, and
// it never trusts a host key it was not given.
package ssh

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"zhiwei/kernel/errs"
)

// Config says how a machine is reached.
type Config struct {
	Address  string // host or host:port; 22 where no port is named
	User     string
	Password string // either Password or Key, or both
	Key      string // private key in PEM or OpenSSH form, without a passphrase
	HostKey  string // "ssh-ed25519 AAAA…", as in known_hosts after the name, or "SHA256:…" as ssh-keygen -l prints it
}

// dialTimeout bounds connecting and the handshake: a machine that does not
// answer within it is treated as not there.
const dialTimeout = 15 * time.Second

// Client is a connection. It is safe for concurrent use.
type Client struct {
	c       *ssh.Client
	address string

	mu    sync.Mutex
	files *sftp.Client
}

// Unknown tells, of an error of Exec, that the script may have run: the
// connection was lost after it was sent. It wraps the cause.
type Unknown struct{ Err error }

func (u Unknown) Error() string { return "connection lost: " + u.Err.Error() }

// Unwrap gives the cause.
func (u Unknown) Unwrap() error { return u.Err }

// Dial connects and signs in. Errors: Invalid for a configuration that cannot
// work, Unavailable where nobody answers, Unauthenticated where the account is
// refused, Forbidden where the host shows another key than the one expected.
func Dial(ctx context.Context, c Config) (*Client, error) {
	const op = "ssh"
	addr := c.Address
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(strings.Trim(addr, "[]"), "22")
	}
	conf := &ssh.ClientConfig{User: c.User, Timeout: dialTimeout, ClientVersion: "SSH-2.0-Zhiwei"}
	if c.Address == "" || c.User == "" {
		return nil, errs.E(errs.Invalid, op, addr, "SSH 目标需要地址和账号；请在台账与凭据里补全。", "An SSH target needs an address and an account; complete the ledger and the credential.")
	}
	if c.Key != "" {
		signer, err := ssh.ParsePrivateKey([]byte(c.Key))
		if err != nil {
			// The cause may quote the key, so it is not kept.
			return nil, errs.E(errs.Invalid, op, addr, "私钥读不懂；请粘贴没有口令的 OpenSSH 或 PEM 私钥。", "The private key cannot be read; paste an OpenSSH or PEM key without a passphrase.")
		}
		conf.Auth = append(conf.Auth, ssh.PublicKeys(signer))
	}
	if c.Password != "" {
		conf.Auth = append(conf.Auth, ssh.Password(c.Password), ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range answers {
				answers[i] = c.Password
			}
			return answers, nil
		}))
	}
	if len(conf.Auth) == 0 {
		return nil, errs.E(errs.Invalid, op, addr, "没有登录 "+addr+" 的密码或私钥；请为它指定凭据。", "There is no password or key for "+addr+"; name a credential for it.")
	}
	want, algorithms, err := hostKey(c.HostKey)
	if err != nil {
		return nil, err
	}
	conf.HostKeyAlgorithms = algorithms
	shown := ""
	conf.HostKeyCallback = func(_ string, _ net.Addr, key ssh.PublicKey) error {
		shown = ssh.FingerprintSHA256(key)
		if shown != want {
			return errHostKey
		}
		return nil
	}
	d := net.Dialer{Timeout: dialTimeout}
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, errs.E(errs.Unavailable, op, addr, "连不上 "+addr+"；请检查网络、防火墙和 SSH 服务。", addr+" cannot be reached; check the network, the firewall and its SSH service.").Because(err)
	}
	if err := raw.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		raw.Close()
		return nil, errs.Wrap(op, addr, err)
	}
	conn, chans, reqs, err := ssh.NewClientConn(raw, addr, conf)
	switch {
	case err != nil && shown != "" && shown != want:
		raw.Close()
		return nil, errs.E(errs.Forbidden, op, addr, addr+" 出示的主机密钥是 "+shown+"，与登记的不同；请当面核对后再更新台账。", addr+" shows the host key "+shown+", which is not the one on record; verify it on the machine before changing the ledger.")
	case err != nil && strings.Contains(err.Error(), "unable to authenticate"):
		raw.Close()
		return nil, errs.E(errs.Unauthenticated, op, addr, addr+" 拒绝了账号 "+c.User+"；请检查凭据。", addr+" refused the account "+c.User+"; check the credential.").Because(err)
	case err != nil:
		raw.Close()
		return nil, errs.E(errs.Unavailable, op, addr, addr+" 没有完成 SSH 握手；请检查它的 SSH 服务。", addr+" did not finish the SSH handshake; check its SSH service.").Because(err)
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, errs.Wrap(op, addr, err)
	}
	return &Client{c: ssh.NewClient(conn, chans, reqs), address: addr}, nil
}

var errHostKey = errors.New("another host key")

// hostKey reads the key that is expected: its fingerprint, and the algorithms to
// ask the host for so that it shows that very key.
func hostKey(s string) (fingerprint string, algorithms []string, err error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "SHA256:") {
		return s, nil, nil
	}
	f := strings.Fields(s)
	if len(f) >= 2 {
		if raw, e := base64.StdEncoding.DecodeString(f[1]); e == nil {
			if key, e := ssh.ParsePublicKey(raw); e == nil {
				algorithms = []string{key.Type()}
				if key.Type() == ssh.KeyAlgoRSA {
					algorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
				}
				return ssh.FingerprintSHA256(key), algorithms, nil
			}
		}
	}
	return "", nil, errs.E(errs.Invalid, "ssh", "host key", "没有登记主机密钥，或写法不对；应为 ssh-ed25519 AAAA… 或 SHA256:…。", "The host key is missing or malformed; it reads ssh-ed25519 AAAA… or SHA256:….")
}

// Exec runs a script with the machine's /bin/sh and returns its exit status.
// The script stands in the process list of the machine while it runs, so secrets
// belong in stdin. Errors: Unavailable where it was not
// started, Unknown where it was and its end is not known; an exit status is no
// error. When ctx ends the connection's session is closed and the error is
// Unknown.
func (c *Client) Exec(ctx context.Context, script string, stdin io.Reader, stdout, stderr io.Writer) (code int, err error) {
	s, err := c.c.NewSession()
	if err != nil {
		return 0, errs.E(errs.Unavailable, "ssh", c.address, "到 "+c.address+" 的连接已断开；请重试。", "The connection to "+c.address+" is gone; try again.").Because(err)
	}
	defer s.Close()
	s.Stdin, s.Stdout, s.Stderr = stdin, stdout, stderr
	if err := s.Start("exec /bin/sh -c " + Quote(script)); err != nil {
		return 0, Unknown{err}
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	err = s.Wait()
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0, nil
	case ctx.Err() != nil:
		return 0, Unknown{ctx.Err()}
	case errors.As(err, &exit) && exit.Signal() == "":
		return exit.ExitStatus(), nil
	}
	return 0, Unknown{err}
}

// maxRun bounds what Run keeps of each output.
const maxRun = 4 << 20

// Run runs a script as Exec does and gives what it said, cut off at 4 MiB each.
// Errors as of Exec.
func (c *Client) Run(ctx context.Context, script string) (stdout, stderr []byte, code int, err error) {
	out, complaint := &bounded{max: maxRun}, &bounded{max: maxRun}
	code, err = c.Exec(ctx, script, nil, out, complaint)
	return out.Bytes(), complaint.Bytes(), code, err
}

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

// Files opens SFTP on the connection. Errors: Unavailable where the machine has
// none.
func (c *Client) Files() (*sftp.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files != nil {
		return c.files, nil
	}
	f, err := sftp.NewClient(c.c)
	if err != nil {
		return nil, errs.E(errs.Unavailable, "sftp", c.address, c.address+" 没有提供 SFTP；请在它的 SSH 服务里启用。", c.address+" offers no SFTP; enable it in its SSH service.").Because(err)
	}
	c.files = f
	return f, nil
}

// Alive asks the other side for a sign of life.
func (c *Client) Alive() bool {
	_, _, err := c.c.SendRequest("keepalive@openssh.com", true, nil)
	return err == nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.c.Close() }

// Quote makes one word of s for a POSIX shell.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
