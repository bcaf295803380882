package logs

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"

	"zhiwei/kernel/errs"
)

// held is how many lines Copy holds back, four bytes each, so that what is learnt
// from later lines names earlier ones too.
const held = 4 << 20

// Copy reads one message a line from r, to the end, and writes to w as CSV (RFC
// 4180, lines ended by LF) the header line,template_id,template and a row for
// each line in order: its number from 1, the number of its template and the text
// of it. The rows are told with what was learnt from all lines, of each four
// million at a time. An empty line is a message; a line may have any length, of
// which the first 4 KiB are read, and any bytes.
//
// Errors: what r and w fail with, wrapped.
func Copy(w io.Writer, r io.Reader, m *Miner) error {
	return copyHeld(w, r, m, held)
}

func copyHeld(w io.Writer, r io.Reader, m *Miner, hold int) error {
	in := bufio.NewReaderSize(r, 64<<10)
	out := bufio.NewWriterSize(w, 64<<10)
	if _, err := out.WriteString("line,template_id,template\n"); err != nil {
		return wrote(err)
	}
	var ids []ID
	var row []byte
	written := uint64(0)
	flush := func() error {
		m.Refine()
		tails := map[ID]string{}
		for _, id := range ids {
			tail, ok := tails[id]
			if !ok {
				t, known := m.Template(id)
				if !known {
					t = Template{ID: id, Text: Wildcard} // evicted since it was read
				}
				tail = "," + strconv.FormatUint(uint64(t.ID), 10) + "," + quote(t.Text) + "\n"
				tails[id] = tail
			}
			written++
			row = append(strconv.AppendUint(row[:0], written, 10), tail...)
			if _, err := out.Write(row); err != nil {
				return wrote(err)
			}
		}
		ids = ids[:0]
		return nil
	}
	for {
		line, more, err := readLine(in)
		if err != nil {
			return errs.E(errs.Invalid, "logs.copy", "", "读取日志行失败，请检查输入。", "The log lines could not be read; check the input.").Because(err)
		}
		if !more {
			break
		}
		id, _ := m.Add(line)
		if ids = append(ids, id); len(ids) >= hold {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return wrote(err)
	}
	return nil
}

func wrote(err error) error {
	return errs.E(errs.Unavailable, "logs.copy", "", "写出模板失败，请检查输出位置与磁盘空间。", "The templates could not be written; check where they go and its space.").Because(err)
}

// readLine gives the next line without its end, cut behind what a Miner reads;
// more is false when no line is left.
func readLine(in *bufio.Reader) (line string, more bool, err error) {
	part, err := in.ReadSlice('\n')
	if err == nil || errors.Is(err, io.EOF) {
		if len(part) == 0 {
			return "", false, nil
		}
		return clean(part), true, nil
	}
	// Longer than the buffer: all that a Miner reads is in it. Skip the rest.
	line = clean(part)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = in.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", false, err
	}
	return line, true, nil
}

func clean(part []byte) string {
	n := len(part)
	if n > 0 && part[n-1] == '\n' {
		n--
	}
	if n > 0 && part[n-1] == '\r' {
		n--
	}
	return string(part[:min(n, maxBytes+1)]) // one more, so that the Miner sees that it was cut
}

// quote writes a field of a CSV row.
func quote(field string) string {
	if !strings.ContainsAny(field, "\",\r\n") && field == strings.TrimSpace(field) {
		return field
	}
	return `"` + strings.ReplaceAll(field, `"`, `""`) + `"`
}
