package knowledge

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"

	"zhiwei/kernel/errs"
)

// sealLine begins the first line of an exported pack:
//
//	# zhiwei-pack sha256:<hex> ed25519:<base64 or ->
//
// The hash is over all bytes behind that line, the signature over the hash. It
// is a comment of YAML, so that the file is read by Read as well.
const sealLine = "# zhiwei-pack "

// Export writes a pack as one file with its hash and, where a key is given, a
// signature, so that every site takes the same version ("update once"). The
// same pack gives the same bytes.
func Export(w io.Writer, p Pack, key ed25519.PrivateKey) error {
	var body bytes.Buffer
	e := yaml.NewEncoder(&body)
	e.SetIndent(2)
	if err := e.Encode(p); err != nil {
		return errs.Wrap("export pack", p.Name, err)
	}
	if err := e.Close(); err != nil {
		return errs.Wrap("export pack", p.Name, err)
	}
	sum := sha256.Sum256(body.Bytes())
	mark := "-"
	if key != nil {
		mark = base64.StdEncoding.EncodeToString(ed25519.Sign(key, sum[:]))
	}
	_, err := fmt.Fprintf(w, "%ssha256:%s ed25519:%s\n%s", sealLine, hex.EncodeToString(sum[:]), mark, body.Bytes())
	return errs.Wrap("export pack", p.Name, err)
}

// Import reads an exported pack and proves it: Invalid where the hash does not
// fit or, where keys are given, where none of them signed it. Without keys the
// hash alone is checked. The pack is also checked as New does, so that a site
// never takes one that it cannot reason with.
func Import(r io.Reader, keys ...ed25519.PublicKey) (Pack, error) {
	refuse := func(zh, en string) (Pack, error) {
		return Pack{}, errs.E(errs.Invalid, "import pack", "", "知识包未被采用："+zh, "The pack was not taken: "+en)
	}
	const most = 8 << 20
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return Pack{}, errs.Wrap("import pack", "", err)
	}
	if len(text) > most {
		return Pack{}, errs.E(errs.TooLarge, "import pack", "", "知识包文件超过 8 MB。", "The file of the pack is larger than 8 MB.")
	}
	line, body, _ := bytes.Cut(text, []byte("\n"))
	marks := strings.Fields(strings.TrimPrefix(string(line), sealLine))
	if !bytes.HasPrefix(line, []byte(sealLine)) || len(marks) != 2 {
		return refuse("文件没有校验行，请用导出的文件。", "it has no line with its hash; use an exported file.")
	}
	sum := sha256.Sum256(body)
	if marks[0] != "sha256:"+hex.EncodeToString(sum[:]) {
		return refuse("内容与校验值不符，请重新传送。", "its content does not fit its hash; send it again.")
	}
	if len(keys) > 0 {
		mark, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(marks[1], "ed25519:"))
		signed := false
		for _, k := range keys {
			signed = signed || err == nil && len(k) == ed25519.PublicKeySize && ed25519.Verify(k, sum[:], mark)
		}
		if !signed {
			return refuse("签名不是可信的发布者的。", "no publisher that is trusted has signed it.")
		}
	}
	p, err := read(body)
	if err != nil {
		return Pack{}, err
	}
	if _, err := New(p); err != nil {
		return Pack{}, err
	}
	return p, nil
}
