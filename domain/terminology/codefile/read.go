package codefile

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"zhiwei/domain/terminology"
	"zhiwei/domain/terminology/internal/content"
	"zhiwei/kernel/errs"
)

// maxLine is the longest line or concept of a file.
const maxLine = 16 << 20

// read reads one file and calls f for each concept in it.
func read(ctx context.Context, path string, columns map[string]string, f func(*terminology.Imported) error) (head, error) {
	file, err := os.Open(path)
	if err != nil {
		return head{}, errs.E(errs.Invalid, "import", path, "无法打开 "+path+"；请核对路径和权限。", path+" cannot be opened; check the path and its permissions.").Because(err)
	}
	defer file.Close()
	var in io.Reader = file
	plain := strings.ToLower(path)
	switch filepath.Ext(plain) {
	case ".gz":
		if in, err = gzip.NewReader(file); err != nil {
			return head{}, damaged(path, err)
		}
		plain = strings.TrimSuffix(plain, ".gz")
	case ".bz2":
		in, plain = bzip2.NewReader(file), strings.TrimSuffix(plain, ".bz2")
	}
	in = &interruptible{ctx, in}
	switch filepath.Ext(plain) {
	case ".csv", ".tsv", ".txt":
		err = readTable(in, filepath.Ext(plain) == ".tsv", columns, f)
	case ".json":
		var h head
		h, err = readResource(in, f)
		return h, located(path, err)
	case ".ndjson", ".jsonl":
		var h head
		h, err = readLines(in, f)
		return h, located(path, err)
	default:
		err = errs.E(errs.Invalid, "import", path, "不认识的文件类型；可用 .csv、.tsv、.json、.ndjson，以及它们的 .gz、.bz2。", "The type of this file is not known; use .csv, .tsv, .json or .ndjson, or these as .gz or .bz2.")
	}
	return head{}, located(path, err)
}

// interruptible ends the reading of a long file with the context.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(b []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(b)
}

// located puts the file into an error that is about its content.
func located(path string, err error) error {
	var e *errs.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return errs.Wrap("import", path, err)
	case errors.As(err, &e) && e.Op == "read":
		return &errs.Error{Op: "import", Subject: path, Kind: e.Kind, Path: e.Path, Cause: e.Cause, Say: errs.Text{ZH: filepath.Base(path) + "：" + e.Say.ZH, EN: filepath.Base(path) + ": " + e.Say.EN}}
	case errors.As(err, &e):
		return err
	}
	return damaged(path, err)
}

func damaged(path string, err error) error {
	return errs.E(errs.Invalid, "import", path, path+" 已损坏或不是所标的格式。", path+" is damaged or not of the format its name says.").Because(err)
}

// wrong is an error about the content of a file; read puts the file's name in
// front.
func wrong(line int, zh, en string) error {
	if line > 0 {
		zh, en = "第 "+strconv.Itoa(line)+" 行："+zh, "line "+strconv.Itoa(line)+": "+en
	}
	return errs.E(errs.Invalid, "read", "", zh, en)
}

// decoded gives text in UTF-8: as a byte order mark says, as it is where it is
// valid UTF-8, else from GB 18030, which is how Chinese spreadsheets write.
func decoded(in io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(in, 64<<10)
	start, err := b.Peek(64 << 10)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for i := 0; i < utf8.UTFMax && len(start) > 0 && len(start) == 64<<10 && !utf8.Valid(start); i++ {
		start = start[:len(start)-1] // a character cut in two
	}
	marked := bytes.HasPrefix(start, []byte("\xEF\xBB\xBF")) || bytes.HasPrefix(start, []byte("\xFF\xFE")) || bytes.HasPrefix(start, []byte("\xFE\xFF"))
	switch {
	case marked:
		return bufio.NewReaderSize(transform.NewReader(b, unicode.BOMOverride(transform.Nop)), 64<<10), nil
	case utf8.Valid(start):
		return b, nil
	}
	return bufio.NewReaderSize(simplifiedchinese.GB18030.NewDecoder().Reader(b), 64<<10), nil
}

// readResource reads a CodeSystem concept by concept, so that one of any size is
// read in the memory of its largest top-level concept.
func readResource(in io.Reader, f func(*terminology.Imported) error) (head, error) {
	text, err := decoded(in)
	if err != nil {
		return head{}, err
	}
	dec := json.NewDecoder(text)
	notSystem := wrong(0, "这不是 CodeSystem 资源。", "This is not a CodeSystem resource.")
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return head{}, notSystem
	}
	doc := map[string]json.RawMessage{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return head{}, err
		}
		name, _ := t.(string)
		if name == "concept" {
			if err := readConcepts(dec, f); err != nil {
				return head{}, err
			}
			continue
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return head{}, err
		}
		doc[name] = v
	}
	if _, err := dec.Token(); err != nil {
		return head{}, err
	}
	return headOf(doc)
}

func readConcepts(dec *json.Decoder, f func(*terminology.Imported) error) error {
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return wrong(0, "concept 应为数组。", "concept must be an array.")
	}
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		list, err := content.ReadConcept(raw)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].Code == "" {
				return wrong(0, "有的概念没有代码。", "A concept has no code.")
			}
			if err := f(terminology.NewImported(&list[i])); err != nil {
				return err
			}
		}
	}
	_, err := dec.Token()
	return err
}

func headOf(doc map[string]json.RawMessage) (head, error) {
	var j struct{ ResourceType, URL, Version, Content string }
	raw, err := json.Marshal(doc)
	if err == nil {
		err = json.Unmarshal(raw, &j)
	}
	if err != nil || j.ResourceType != "CodeSystem" {
		return head{}, wrong(0, "这不是 CodeSystem 资源。", "This is not a CodeSystem resource.")
	}
	if j.Content == "supplement" {
		return head{}, wrong(0, "这是对别的代码系统的补充（supplement），请直接上传到 /fhir/CodeSystem。", "This is a supplement to another code system; upload it to /fhir/CodeSystem.")
	}
	return head{url: j.URL, version: j.Version, resource: raw}, nil
}

// readLines reads one CodeSystem or one concept a line. A concept is an object
// with code, display, parents and what else terminology.Imported has.
func readLines(in io.Reader, f func(*terminology.Imported) error) (head, error) {
	text, err := decoded(in)
	if err != nil {
		return head{}, err
	}
	var h head
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var kind struct{ ResourceType string }
		if json.Unmarshal(line, &kind) != nil {
			return h, wrong(n, "JSON 格式有误。", "The JSON is broken.")
		}
		switch kind.ResourceType {
		case "CodeSystem":
			one, err := readResource(bytes.NewReader(line), f)
			if err != nil {
				return h, err
			}
			if h.resource != nil && h.url != one.url {
				return h, wrong(n, "文件中有多个代码系统；请分开导入。", "The file has several code systems; import them one by one.")
			}
			h = one
		case "":
			c := &terminology.Imported{}
			if err := json.Unmarshal(line, c); err != nil || c.Code == "" {
				return h, wrong(n, "这不是一个概念（至少要有 code）。", "This is no concept; it needs a code at least.")
			}
			if err := f(c); err != nil {
				return h, err
			}
		default:
			return h, wrong(n, "这不是 CodeSystem 资源。", "This is not a CodeSystem resource.")
		}
	}
	return h, lines.Err()
}
