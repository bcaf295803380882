package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// redisDo asks a Redis once, over a connection of its own, in RESP2
// (https://redis.io/docs/latest/develop/reference/protocol-spec/). A missing
// value is "" with ok false; an error of the server is an error.
func redisDo(ctx context.Context, address string, words ...string) (answer string, ok bool, err error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", false, err
	}
	defer c.Close()
	if at, limited := ctx.Deadline(); limited {
		_ = c.SetDeadline(at)
	} else {
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := io.WriteString(c, b.String()); err != nil {
		return "", false, err
	}
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil {
		return "", false, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", false, errors.New("redis: an empty answer")
	}
	switch line[0] {
	case '+', ':':
		return line[1:], true, nil
	case '-':
		return "", false, errors.New("redis: " + line[1:])
	case '$':
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < 0 || n > 64<<20 {
			return "", false, err
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(r, text); err != nil {
			return "", false, err
		}
		return string(text), true, nil
	}
	return "", false, fmt.Errorf("redis: %q", line)
}
