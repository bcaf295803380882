// Package winrm runs programs and PowerShell on Windows machines over WinRM
// (Windows Remote Management), with nothing installed there. It does not decide
// what is run; it never sends a password in the clear, and trusts no certificate
// that it was not given or that this machine does not trust.
//
// Sources: WS-Management (DMTF DSP0226), [MS-WSMV] for the remote shell and for
// messages that are sealed over plain HTTP, [MS-NLMP] for NTLM. Kerberos is not
// spoken.
package winrm

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	_ "crypto/sha512" // hashes of certificates

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

const op = "winrm"

// Bounds.
const (
	dialTimeout  = 10 * time.Second
	answerWithin = 30 * time.Second // of the server, for everything but waiting for output
	pollFor      = 20 * time.Second // how long the server holds a question for output
	grace        = 15 * time.Second // of ours on top of the server's time
	idle         = 3 * time.Minute  // after which the server ends a shell that nobody asks
	tidyWithin   = 15 * time.Second // for ending a command and its shell when our time is over
	envelopeSize = 512000           // MaxEnvelopeSizekb of Windows, 500
	maxAnswer    = 4 << 20          // read of one answer
)

// Config says how a machine is reached.
type Config struct {
	// URL is https://HOST:5986/wsman or http://HOST:5985/wsman; path and port may be
	// left out.
	URL      string
	User     string // NAME, DOMAIN\NAME or NAME@REALM
	Password string // never logged
	// Basic signs in by HTTP Basic instead of NTLM: only for accounts of the machine
	// itself and only over https.
	Basic bool
	// Fingerprint is the SHA-256 of the machine's certificate in hexadecimal, colons
	// allowed. Empty: the certificate must be one that Roots trust.
	Fingerprint string
	Roots       *x509.CertPool // nil: those this machine trusts
	Clock       clock.Clock
}

// Client speaks to one machine. Over http all messages are sealed by NTLM. It is
// safe for concurrent use; one message is under way at a time.
type Client struct {
	conf         Config
	url, at      string // at is host and port
	domain, user string
	http         *http.Client

	mu   sync.Mutex
	on   *sealer // of the connection that is signed in over http
	auth bool    // the connection is signed in
}

// Unknown tells, of an error of Run, that the program may have run: the
// connection was lost after it was ordered. It wraps the cause.
type Unknown struct{ Err error }

func (u Unknown) Error() string { return "outcome unknown: " + u.Err.Error() }

// Unwrap gives the cause.
func (u Unknown) Unwrap() error { return u.Err }

var errCertificate = errors.New("another certificate than the one on record")

// New makes a client; nothing is sent yet. Errors: Invalid for a configuration
// that cannot work.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return nil, errs.E(errs.Invalid, op, "", "WinRM 地址须如 https://10.0.0.30:5986/wsman，账号与口令另填。", "A WinRM address is such as https://10.0.0.30:5986/wsman; account and password are given apart.").At("url")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "5985", "https": "5986"}[u.Scheme])
	}
	u.Path = cmp.Or(strings.TrimSuffix(u.Path, "/"), "/wsman")
	switch {
	case c.User == "" || c.Password == "":
		return nil, errs.E(errs.Invalid, op, u.Host, "WinRM 需要账号和口令；请为 "+u.Host+" 指定凭据。", "WinRM needs an account and a password; name a credential for "+u.Host+".")
	case c.Basic && u.Scheme == "http":
		return nil, errs.E(errs.Invalid, op, u.Host, "经 http 不使用 Basic：口令会以明文发送。请改用 https，或用 NTLM。", "Basic is not used over http, which would send the password in the clear: use https, or NTLM.")
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots}
	if want := strings.ToLower(strings.ReplaceAll(c.Fingerprint, ":", "")); want != "" {
		settings.InsecureSkipVerify = true // the certificate itself is compared instead
		settings.VerifyConnection = func(s tls.ConnectionState) error {
			got := sha256.Sum256(s.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(got[:])), []byte(want)) != 1 {
				return errCertificate
			}
			return nil
		}
	}
	out := &Client{conf: c, url: u.String(), at: u.Host, user: c.User}
	if d, name, ok := strings.Cut(c.User, `\`); ok {
		if out.domain, out.user = d, name; d == "." {
			out.domain = ""
		}
	}
	out.http = &http.Client{
		// NTLM signs a connection in, so there is one; a proxy would break it.
		Transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, TLSHandshakeTimeout: dialTimeout, TLSClientConfig: settings,
			MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return out, nil
}

// Close ends the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// ask sends a request and gives its answer. sent tells, beside an error, that the
// request may have been carried out.
func (c *Client) ask(ctx context.Context, r request) (a *answer, sent bool, err error) {
	ctx, done := context.WithTimeout(ctx, r.wait+grace)
	defer done()
	c.mu.Lock()
	defer c.mu.Unlock()
	id, text := r.envelope(c.url)
	status, body, sent, err := c.post(ctx, text)
	if err != nil {
		return nil, sent, err
	}
	a, err = parseAnswer(body)
	switch {
	case status == http.StatusForbidden || status == http.StatusNotFound || err != nil && status >= 300:
		return nil, status >= 500, errs.E(errs.Unavailable, op, c.at, fmt.Sprintf("%s 应答 %d；请检查它的 WinRM 服务（winrm quickconfig）。", c.at, status), fmt.Sprintf("%s answered %d; check its WinRM service (winrm quickconfig).", c.at, status))
	case err != nil:
		return nil, true, errs.E(errs.Unavailable, op, c.at, c.at+" 的应答不合 WS-Management。", "The answer of "+c.at+" is not WS-Management.").Because(err)
	case a.RelatesTo != id:
		return nil, true, errs.E(errs.Unavailable, op, c.at, c.at+" 的应答对应另一条消息。", "The answer of "+c.at+" is to another message.")
	case a.Fault != nil:
		return nil, false, c.refused(a.Fault)
	}
	return a, true, nil
}

// refused says what a fault means.
func (c *Client) refused(f *fault) error {
	switch n := f.Detail.Code; {
	case n == codeDenied || strings.HasSuffix(f.Kind, ":AccessDenied"):
		return errs.E(errs.Forbidden, op, c.at, c.at+" 不许账号 "+c.conf.User+" 远程管理；它须在“Remote Management Users”或管理员组。", c.at+" does not let the account "+c.conf.User+" manage it remotely: it must be in “Remote Management Users” or an administrator.").Because(f)
	case n >= codeQuota && n <= codeQuotaEnd || strings.HasSuffix(f.Kind, ":QuotaLimit"):
		return errs.E(errs.Unavailable, op, c.at, c.at+" 上打开的远程外壳太多；稍后再试，或提高 MaxShellsPerUser。", "Too many remote shells are open on "+c.at+"; try later, or raise MaxShellsPerUser.").Because(f)
	case n == codeGone:
		return errs.E(errs.Unavailable, op, c.at, c.at+" 上的外壳已经不在。", "The shell on "+c.at+" is gone.").Because(f)
	}
	return errs.E(errs.Unavailable, op, c.at, c.at+" 拒绝了请求："+f.Error(), c.at+" refused the request: "+f.Error()).Because(f)
}

// post sends a message over a connection that is signed in.
func (c *Client) post(ctx context.Context, text []byte) (status int, body []byte, sent bool, err error) {
	for try := 0; ; try++ {
		var said reply
		switch {
		case c.conf.Basic:
			said, err = c.send(ctx, text, "application/soap+xml;charset=UTF-8", "")
		case !c.auth:
			if err := c.signIn(ctx); err != nil {
				return 0, nil, false, err
			}
			fallthrough
		default:
			kind, packed := "application/soap+xml;charset=UTF-8", text
			if c.on != nil {
				kind, packed = sealedKind, pack(c.on, text)
			}
			said, err = c.send(ctx, packed, kind, "")
		}
		switch {
		case err != nil:
			c.auth, c.on = false, nil
			return 0, nil, !unsent(err), c.broken(err)
		case said.status == http.StatusUnauthorized && try == 0 && !c.conf.Basic:
			c.auth, c.on = false, nil // the connection was another one: nothing was done
			continue
		case said.status == http.StatusUnauthorized:
			return 0, nil, false, c.denied()
		}
		if c.on != nil {
			if !strings.HasPrefix(said.kind, "multipart/encrypted") && said.status >= 300 {
				return said.status, said.body, false, nil // of the web server in front
			}
			if said.body, err = unpack(c.on, said.body); err != nil {
				c.auth, c.on = false, nil
				c.http.CloseIdleConnections()
				return 0, nil, true, errs.E(errs.Unavailable, op, c.at, c.at+" 的加密应答解不开。", "The sealed answer of "+c.at+" cannot be opened.").Because(err)
			}
		}
		return said.status, said.body, true, nil
	}
}

func (c *Client) denied() error {
	return errs.E(errs.Unauthenticated, op, c.at, c.at+" 拒绝了账号 "+c.conf.User+"；请检查凭据，以及它的 WinRM 服务允许的登录方式。", c.at+" refused the account "+c.conf.User+"; check the credential, and which ways of signing in its WinRM service allows.")
}

// broken says why a request got no answer.
func (c *Client) broken(err error) error {
	var wrong *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errCertificate):
		return errs.E(errs.Forbidden, op, c.at, c.at+" 出示的证书与登记的不同；请当面核对后再更新台账。", c.at+" shows another certificate than the one on record; verify it on the machine before changing the ledger.").Because(err)
	case errors.As(err, &wrong):
		return errs.E(errs.Forbidden, op, c.at, c.at+" 的证书不可信；请登记它的 SHA-256 指纹，或信任它的签发者。", "The certificate of "+c.at+" is not trusted; enter its SHA-256, or trust its issuer.").Because(err)
	}
	return errs.E(errs.Unavailable, op, c.at, "没有得到 "+c.at+" 的应答；请检查网络、防火墙和它的 WinRM 服务。", "No answer from "+c.at+"; check the network, the firewall and its WinRM service.").Because(err)
}

// unsent tells whether a request surely did not reach the server.
func unsent(err error) bool {
	var dial *net.OpError
	var wrong *tls.CertificateVerificationError
	return errors.As(err, &dial) && dial.Op == "dial" || errors.Is(err, errCertificate) || errors.As(err, &wrong)
}

type reply struct {
	status    int
	kind      string
	challenge string // of WWW-Authenticate: Negotiate
	state     *tls.ConnectionState
	body      []byte
}

// send makes one HTTP request. The body is read whole, so that the connection is
// used again.
func (c *Client) send(ctx context.Context, body []byte, kind, authorization string) (r reply, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return r, err
	}
	req.Header.Set("User-Agent", "Zhiwei")
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	} else if c.conf.Basic {
		req.SetBasicAuth(c.conf.User, c.conf.Password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return r, err
	}
	defer resp.Body.Close()
	r = reply{status: resp.StatusCode, kind: resp.Header.Get("Content-Type"), state: resp.TLS}
	for _, h := range resp.Header.Values("WWW-Authenticate") {
		if scheme, token, _ := strings.Cut(h, " "); strings.EqualFold(scheme, "Negotiate") && token != "" {
			r.challenge = token
		}
	}
	if r.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); err == nil && len(r.body) > maxAnswer {
		err = fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return r, err
}

// signIn signs the connection in by NTLM, in two requests without a body.
func (c *Client) signIn(ctx context.Context) error {
	hello := ntlmNegotiate()
	first, err := c.send(ctx, nil, "", "Negotiate "+base64.StdEncoding.EncodeToString(hello))
	if err != nil {
		return c.broken(err)
	}
	raw, err := base64.StdEncoding.DecodeString(first.challenge)
	switch {
	case first.challenge == "" && (first.status == http.StatusUnauthorized || first.status < 300):
		return errs.E(errs.Unauthenticated, op, c.at, c.at+" 不接受 NTLM 登录（Negotiate）；请在它的 WinRM 服务里启用，或用 https 加 Basic。", c.at+" takes no NTLM (Negotiate); enable it in its WinRM service, or use https with Basic.")
	case first.challenge == "":
		return errs.E(errs.Unavailable, op, c.at, fmt.Sprintf("%s 应答 %d；请检查它的 WinRM 服务。", c.at, first.status), fmt.Sprintf("%s answered %d; check its WinRM service.", c.at, first.status))
	}
	var ch challenge
	if err == nil {
		ch, err = parseChallenge(raw)
	}
	if err != nil {
		return errs.E(errs.Unavailable, op, c.at, c.at+" 的 NTLM 应答用不了："+err.Error(), "The NTLM answer of "+c.at+" is of no use: "+err.Error()).Because(err)
	}
	l := ntlmLogin(c.domain, c.user, c.conf.Password, ch, hello, binding(first.state), draw(c.conf.Clock.Now()))
	second, err := c.send(ctx, nil, "", "Negotiate "+base64.StdEncoding.EncodeToString(l.message))
	switch {
	case err != nil:
		return c.broken(err)
	case second.status == http.StatusUnauthorized:
		return c.denied()
	}
	c.auth = true
	if first.state == nil {
		c.on = newSealer(l.key)
	}
	return nil
}

// binding ties a login to its TLS connection: the hash of a channel of the type
// tls-server-end-point, RFC 5929 §4 and RFC 4121 §4.1.1.2. nil over http.
func binding(s *tls.ConnectionState) []byte {
	if s == nil || len(s.PeerCertificates) == 0 {
		return nil
	}
	h := crypto.SHA256
	switch s.PeerCertificates[0].SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		h = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		h = crypto.SHA512
	}
	sum := h.New()
	sum.Write(s.PeerCertificates[0].Raw)
	data := append([]byte("tls-server-end-point:"), sum.Sum(nil)...)
	all := binary.LittleEndian.AppendUint32(make([]byte, 16), uint32(len(data)))
	out := md5.Sum(append(all, data...))
	return out[:]
}

// Sealed messages, [MS-WSMV] 2.2.9.1.
const (
	boundary   = "Encrypted Boundary"
	protocol   = "application/HTTP-SPNEGO-session-encrypted"
	sealedKind = `multipart/encrypted;protocol="` + protocol + `";boundary="` + boundary + `"`
	sealedHead = "--" + boundary + "\r\n\tContent-Type: " + protocol + "\r\n\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length="
	sealedBody = "\r\n--" + boundary + "\r\n\tContent-Type: application/octet-stream\r\n"
	sealedEnd  = "--" + boundary + "--\r\n"
)

// pack seals a message.
func pack(s *sealer, text []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%d%s", sealedHead, len(text), sealedBody)
	b.Write(binary.LittleEndian.AppendUint32(nil, sealSize))
	b.Write(s.seal(text))
	b.WriteString(sealedEnd)
	return b.Bytes()
}

// sealedPart finds the seal and the sealed message in a body.
func sealedPart(body []byte) ([]byte, error) {
	_, rest, ok := bytes.Cut(body, []byte("application/octet-stream\r\n"))
	end := bytes.LastIndex(rest, []byte("--"+boundary))
	if !ok || end < 4 || binary.LittleEndian.Uint32(rest) != sealSize {
		return nil, errors.New("the answer is not sealed as it should be")
	}
	return rest[4:end], nil
}

// unpack opens a sealed message.
func unpack(s *sealer, body []byte) ([]byte, error) {
	part, err := sealedPart(body)
	if err != nil {
		return nil, err
	}
	return s.open(part)
}
