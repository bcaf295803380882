package winrm

import (
	"strings"
	"testing"
	"time"
)

func TestComplaints(t *testing.T) {
	const head = "#< CLIXML\r\n"
	for in, want := range map[string]string{
		"":              "",
		"plain":         "plain",
		head + "<Objs>": "",
		head + `<Objs><S S="Error">one_x000D__x000A_</S><S S="verbose">no</S><S S="Error">two`: "one\ntwo",
		head + `<Objs><S S="Error">_xD83D__xDE00_ &lt;a&gt;</S></Objs>`:                        "😀 <a>",
	} {
		if got := complaints([]byte(in)); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestFaultsSayWhatWindowsSaid(t *testing.T) {
	a, err := parseAnswer([]byte(`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault><s:Code><s:Subcode><s:Value>w:TimedOut</s:Value></s:Subcode></s:Code><s:Detail><f:WSManFault xmlns:f="x" Code="0"><f:Message><f:ProviderFault>deep <b/>words</f:ProviderFault></f:Message></f:WSManFault></s:Detail></s:Fault></s:Body></s:Envelope>`))
	if err != nil || a.Fault == nil || !a.Fault.timedOut() || !strings.Contains(a.Fault.Error(), "deep words") {
		t.Fatalf("%+v, %v", a, err)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><ReceiveResponse><Stream Name="stdout">aGk=</Stream><CommandState State="`+stateDone+`"><ExitCode>3</ExitCode></CommandState></ReceiveResponse></s:Body></s:Envelope>`), []byte("#< CLIXML\r\n<S S=\"Error\">_x000A_</S>"))
	f.Fuzz(func(_ *testing.T, answer, complaint []byte) {
		if a, err := parseAnswer(answer); err == nil {
			a.shell()
			if a.Fault != nil {
				_ = a.Fault.Error()
			}
			if a.Received != nil {
				_, _, _, _, _ = a.Received.output("x")
			}
		}
		complaints(complaint)
		_, _ = unpack(newSealer(make([]byte, 16)), answer)
		if m, err := parseMachine(answer); err == nil {
			m.samples(time.Unix(0, 0), time.Unix(1, 0))
		}
	})
}
