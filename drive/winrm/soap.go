package winrm

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The names of WS-Management (DMTF DSP0226), WS-Transfer, WS-Addressing and of
// the remote shell, [MS-WSMV] 2.2.
const (
	nsSOAP  = "http://www.w3.org/2003/05/soap-envelope"
	nsAddr  = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
	nsWSMan = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
	nsShell = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"

	resource     = nsShell + "/cmd"
	actCreate    = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Create"
	actDelete    = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Delete"
	actCommand   = nsShell + "/Command"
	actReceive   = nsShell + "/Receive"
	actSignal    = nsShell + "/Signal"
	sigTerminate = nsShell + "/signal/terminate"
	stateDone    = nsShell + "/CommandState/Done"
)

// option is an option of a request.
type option struct{ name, value string }

// request is one message to the server; shell is empty where none is meant yet.
type request struct {
	action, shell string
	options       []option
	body          string
	wait          time.Duration // how long the server may take
}

// envelope writes a request; it gives the id by which its answer is known.
func (r request) envelope(to string) (id string, text []byte) {
	id = "uuid:" + uuid()
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="` + nsSOAP + `" xmlns:a="` + nsAddr + `" xmlns:w="` + nsWSMan +
		`" xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd" xmlns:rsp="` + nsShell + `"><s:Header>` +
		`<a:To>` + escape(to) + `</a:To>` +
		`<a:ReplyTo><a:Address s:mustUnderstand="true">` + nsAddr + `/role/anonymous</a:Address></a:ReplyTo>` +
		`<a:Action s:mustUnderstand="true">` + r.action + `</a:Action>` +
		`<a:MessageID>` + id + `</a:MessageID>` +
		`<w:ResourceURI s:mustUnderstand="true">` + resource + `</w:ResourceURI>` +
		`<w:MaxEnvelopeSize s:mustUnderstand="true">` + strconv.Itoa(envelopeSize) + `</w:MaxEnvelopeSize>` +
		`<w:Locale xml:lang="en-US" s:mustUnderstand="false"/><p:DataLocale xml:lang="en-US" s:mustUnderstand="false"/>` +
		fmt.Sprintf(`<w:OperationTimeout>PT%.3fS</w:OperationTimeout>`, r.wait.Seconds()))
	if r.shell != "" {
		b.WriteString(`<w:SelectorSet><w:Selector Name="ShellId">` + escape(r.shell) + `</w:Selector></w:SelectorSet>`)
	}
	if len(r.options) > 0 {
		b.WriteString(`<w:OptionSet>`)
		for _, o := range r.options {
			b.WriteString(`<w:Option Name="` + o.name + `">` + o.value + `</w:Option>`)
		}
		b.WriteString(`</w:OptionSet>`)
	}
	b.WriteString(`</s:Header><s:Body>` + r.body + `</s:Body></s:Envelope>`)
	return id, []byte(b.String())
}

// create orders a shell with an environment. Its standard input is not used.
func create(env map[string]string, dir string) request {
	var b strings.Builder
	b.WriteString(`<rsp:Shell>`)
	if len(env) > 0 {
		b.WriteString(`<rsp:Environment>`)
		for _, k := range slices.Sorted(maps.Keys(env)) {
			b.WriteString(`<rsp:Variable Name="` + escape(k) + `">` + escape(env[k]) + `</rsp:Variable>`)
		}
		b.WriteString(`</rsp:Environment>`)
	}
	if dir != "" {
		b.WriteString(`<rsp:WorkingDirectory>` + escape(dir) + `</rsp:WorkingDirectory>`)
	}
	fmt.Fprintf(&b, `<rsp:IdleTimeOut>PT%.3fS</rsp:IdleTimeOut>`, idle.Seconds())
	b.WriteString(`<rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>`)
	return request{action: actCreate, options: []option{{"WINRS_NOPROFILE", "FALSE"}, {"WINRS_CODEPAGE", "65001"}}, body: b.String(), wait: answerWithin}
}

// command orders a program, started by itself and not by cmd.exe.
func command(shell, program string, args []string) request {
	body := `<rsp:CommandLine><rsp:Command>` + escape(program) + `</rsp:Command>`
	for _, a := range args {
		body += `<rsp:Arguments>` + escape(a) + `</rsp:Arguments>`
	}
	return request{
		action: actCommand, shell: shell, body: body + `</rsp:CommandLine>`, wait: answerWithin,
		options: []option{{"WINRS_CONSOLEMODE_STDIN", "TRUE"}, {"WINRS_SKIP_CMD_SHELL", "TRUE"}},
	}
}

func receive(shell, id string) request {
	return request{action: actReceive, shell: shell, body: `<rsp:Receive><rsp:DesiredStream CommandId="` + escape(id) + `">stdout stderr</rsp:DesiredStream></rsp:Receive>`, wait: pollFor}
}

func terminate(shell, id string) request {
	return request{action: actSignal, shell: shell, body: `<rsp:Signal CommandId="` + escape(id) + `"><rsp:Code>` + sigTerminate + `</rsp:Code></rsp:Signal>`, wait: answerWithin}
}

func remove(shell string) request {
	return request{action: actDelete, shell: shell, wait: answerWithin}
}

// answer is what the server says to any of these.
type answer struct {
	XMLName   xml.Name  `xml:"http://www.w3.org/2003/05/soap-envelope Envelope"`
	RelatesTo string    `xml:"Header>RelatesTo"`
	Fault     *fault    `xml:"Body>Fault"`
	Selectors []named   `xml:"Body>ResourceCreated>ReferenceParameters>SelectorSet>Selector"`
	ShellID   string    `xml:"Body>Shell>ShellId"`
	CommandID string    `xml:"Body>CommandResponse>CommandId"`
	Received  *received `xml:"Body>ReceiveResponse"`
}

type named struct {
	Name  string `xml:"Name,attr"`
	Value string `xml:",chardata"`
}

type received struct {
	Streams []struct {
		Name    string `xml:"Name,attr"`
		Command string `xml:"CommandId,attr"`
		Text    string `xml:",chardata"`
	} `xml:"Stream"`
	State struct {
		Command string `xml:"CommandId,attr"`
		State   string `xml:"State,attr"`
		Code    *int64 `xml:"ExitCode"`
	} `xml:"CommandState"`
}

// fault is a SOAP fault; its Code is that of Windows, 0 where it names none.
type fault struct {
	Kind   string   `xml:"Code>Subcode>Value"`
	Reason []string `xml:"Reason>Text"`
	Detail struct {
		Code    uint32   `xml:"Code,attr"`
		Message innerXML `xml:"Message"`
	} `xml:"Detail>WSManFault"`
}

// innerXML is text in which further elements may stand.
type innerXML struct {
	Text string `xml:",innerxml"`
}

// Codes of faults, winerror.h and wsmerror.h.
const (
	codeDenied   = 5          // ERROR_ACCESS_DENIED
	codeTimedOut = 2150858793 // ERROR_WSMAN_OPERATION_TIMEDOUT 0x80338029
	codeGone     = 2150858843 // ERROR_WSMAN_INVALID_SELECTORS 0x8033805B: there is no such shell (any more)
	codeQuota    = 2150859174 // ERROR_WSMAN_QUOTA_MAX_SHELLS_PPU 0x803381A6 … _USERS 0x803381A9
	codeQuotaEnd = 2150859177
)

// timedOut tells that nothing was said while the server waited.
func (f *fault) timedOut() bool {
	return f.Detail.Code == codeTimedOut || f.Detail.Code == 0 && strings.HasSuffix(f.Kind, ":TimedOut")
}

// Error says what the server said.
func (f *fault) Error() string {
	said := strings.TrimSpace(strings.Join(f.Reason, " "))
	if said == "" {
		said = strings.TrimSpace(tags(f.Detail.Message.Text))
	}
	if len(said) > 500 {
		said = strings.ToValidUTF8(said[:500], "") + "…"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s (%d)", f.Kind, said, f.Detail.Code))
}

// tags leaves out what stands in angle brackets.
func tags(s string) string {
	var b strings.Builder
	in := false
	for _, r := range s {
		switch {
		case r == '<':
			in = true
		case r == '>':
			in = false
		case !in:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// parseAnswer reads an answer.
func parseAnswer(text []byte) (*answer, error) {
	var a answer
	if err := xml.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("the answer is no SOAP envelope: %w", err)
	}
	return &a, nil
}

// shell is the id of the shell that was created.
func (a *answer) shell() string {
	for _, s := range a.Selectors {
		if s.Name == "ShellId" {
			return strings.TrimSpace(s.Value)
		}
	}
	return strings.TrimSpace(a.ShellID)
}

// output gives what a command said since it was last asked, and whether it has
// ended. What belongs to another command is an error.
func (r *received) output(id string) (stdout, stderr []byte, code int, done bool, err error) {
	for _, s := range r.Streams {
		if s.Command != "" && !strings.EqualFold(s.Command, id) {
			return nil, nil, 0, false, fmt.Errorf("the answer is of the command %s", s.Command)
		}
		text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s.Text))
		if err != nil {
			return nil, nil, 0, false, fmt.Errorf("output of the command: %w", err)
		}
		switch s.Name {
		case "stdout":
			stdout = append(stdout, text...)
		case "stderr":
			stderr = append(stderr, text...)
		}
	}
	if r.State.State != stateDone {
		return stdout, stderr, 0, false, nil
	}
	if r.State.Code == nil {
		return stdout, stderr, 0, true, fmt.Errorf("the command ended without an exit status")
	}
	return stdout, stderr, int(int32(*r.State.Code)), true, nil
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}

func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails: crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}
