package winrm

import (
	"crypto/x509"
	"net"
	"os"
	"strings"

	"zhiwei/kernel/errs"
)

// Way reads how a machine is reached from the labels that name it: winrm ("yes",
// which is https with the usual port, or a URL), winrm_auth (ntlm, where absent,
// or basic), winrm_cert (SHA-256 of its certificate), tls_ca (file with the
// issuers to trust instead of this machine's). address is that of the machine,
// with or without a port. Account, password and clock are left for the caller.
// Errors: Invalid, at the label that is wrong.
func Way(address string, labels map[string]string) (Config, error) {
	c := Config{URL: labels["winrm"], Fingerprint: labels["winrm_cert"]}
	bad := func(label, zh, en string) (Config, error) {
		return Config{}, errs.E(errs.Invalid, op, label, "标签 "+label+" "+zh, "The label "+label+" "+en).At("labels." + label)
	}
	if c.URL == "" || c.URL == "yes" {
		if address == "" {
			return bad("winrm", "需要对象的地址，而台账里没有。", "needs the address of the thing, and the ledger has none.")
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(strings.Trim(address, "[]"), "5986")
		}
		c.URL = "https://" + address + "/wsman"
	}
	switch labels["winrm_auth"] {
	case "", "ntlm":
	case "basic":
		c.Basic = true
	default:
		return bad("winrm_auth", "应写作 ntlm 或 basic。", "reads ntlm or basic.")
	}
	if file := labels["tls_ca"]; file != "" && c.Fingerprint == "" {
		pem, err := os.ReadFile(file)
		c.Roots = x509.NewCertPool()
		if err != nil || !c.Roots.AppendCertsFromPEM(pem) {
			return bad("tls_ca", "的文件“"+file+"”读不了或里面没有证书。", "names the file “"+file+"”, which cannot be read or holds no certificate.")
		}
	}
	return c, nil
}
