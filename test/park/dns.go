package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// runDNS serves a zone over UDP: a file that holds names with their IPv4
// addresses, read anew for every question, so that whoever mends the file mends
// the service.
func runDNS(ctx context.Context, at, zone string) error {
	c, err := net.ListenPacket("udp", at)
	if err != nil {
		return err
	}
	go func() { <-ctx.Done(); _ = c.Close() }()
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return nil //nolint:nilerr // the park ends
		}
		raw, err := os.ReadFile(zone)
		names := map[string]string{}
		if err == nil {
			err = json.Unmarshal(raw, &names)
		}
		if err != nil { // in the words of BIND
			fmt.Fprintf(os.Stderr, "zone hospital.internal/IN: loading from master file %s failed: %v\n", zone, err)
		}
		if answer := resolve(buf[:n], names, err == nil); answer != nil {
			_, _ = c.WriteTo(answer, from)
		}
	}
}

// resolve answers one question (RFC 1035); nil where it is none.
func resolve(question []byte, names map[string]string, readable bool) []byte {
	var p dnsmessage.Parser
	head, err := p.Start(question)
	if err != nil || head.Response {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	answer := dnsmessage.Message{Header: dnsmessage.Header{ID: head.ID, Response: true, Authoritative: true, RecursionDesired: head.RecursionDesired}, Questions: []dnsmessage.Question{q}}
	address, known := names[strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")]
	ip, err := netip.ParseAddr(address)
	switch {
	case !readable:
		answer.RCode = dnsmessage.RCodeServerFailure
	case !known || err != nil || !ip.Is4():
		answer.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		answer.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: ip.As4()},
		}}
	}
	out, err := answer.Pack()
	if err != nil {
		return nil
	}
	return out
}

// lookup asks a DNS server for the address of a name.
func lookup(ctx context.Context, server, name string) (string, error) {
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server)
	}}
	list, err := r.LookupNetIP(ctx, "ip4", name)
	if err != nil {
		return "", err
	}
	return list[0].String(), nil
}
