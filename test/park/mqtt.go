package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// broker is a connection to an MQTT 3.1.1 broker (OASIS Standard, 29 October
// 2014): as much of the protocol as a laboratory's result gateway needs.
type broker struct {
	c     net.Conn
	r     *bufio.Reader
	write sync.Mutex
	id    uint16 // of the last packet published
}

// Packet types with their fixed flags (§2.2).
const (
	mqttConnect   = 0x10
	mqttConnAck   = 0x20
	mqttPublish   = 0x30
	mqttPubAck    = 0x40
	mqttSubscribe = 0x82
	mqttPing      = 0xC0
)

// keepAlive is what the client promises the broker; it says something twice as
// often.
const keepAlive = 20 * time.Second

// dialBroker connects as a client. With keep the broker holds its subscriptions
// and what came for them while it was away.
func dialBroker(ctx context.Context, address, client string, keep bool) (*broker, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	b := &broker{c: c, r: bufio.NewReader(c)}
	var flags byte = 0x02 // clean session
	if keep {
		flags = 0
	}
	body := append(mqttText("MQTT"), 4, flags, 0, byte(keepAlive/time.Second))
	if at, limited := ctx.Deadline(); limited {
		_ = c.SetDeadline(at)
	}
	if err = b.send(mqttConnect, append(body, mqttText(client)...)); err == nil {
		var kind byte
		var answer []byte
		if kind, answer, err = b.read(); err == nil && (kind != mqttConnAck || len(answer) != 2 || answer[1] != 0) {
			err = fmt.Errorf("mqtt: refused: %x %x", kind, answer)
		}
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	_ = c.SetDeadline(time.Time{})
	return b, nil
}

func mqttText(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func (b *broker) send(kind byte, body []byte) error {
	out := binary.AppendUvarint([]byte{kind}, uint64(len(body))) // the remaining length is written as a varint (§2.2.3)
	b.write.Lock()
	defer b.write.Unlock()
	_, err := b.c.Write(append(out, body...))
	return err
}

// Publish sends a message at least once (QoS 1) without waiting for the answer.
// One goroutine publishes at a time.
func (b *broker) Publish(topic, text string) error {
	if b.id++; b.id == 0 {
		b.id = 1 // 0 is none (§2.3.1)
	}
	body := binary.BigEndian.AppendUint16(mqttText(topic), b.id)
	return b.send(mqttPublish|0x02, append(body, text...))
}

// Subscribe asks for the messages of a topic.
func (b *broker) Subscribe(topic string, qos byte) error {
	return b.send(mqttSubscribe, append(append([]byte{0, 1}, mqttText(topic)...), qos))
}

// Ping keeps the connection alive.
func (b *broker) Ping() error { return b.send(mqttPing, nil) }

// Close ends the connection.
func (b *broker) Close() { _ = b.c.Close() }

var errNotMQTT = errors.New("mqtt: what came is no packet")

func (b *broker) read() (kind byte, body []byte, err error) {
	if kind, err = b.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(b.r)
	if err != nil || n > 1<<20 {
		return 0, nil, errors.Join(errNotMQTT, err)
	}
	body = make([]byte, n)
	_, err = io.ReadFull(b.r, body)
	return kind, body, err
}

// Next gives the next message of a subscription. done acknowledges it; until
// then the broker keeps it.
func (b *broker) Next() (topic, text string, done func() error, err error) {
	for {
		kind, body, err := b.read()
		if err != nil {
			return "", "", nil, err
		}
		if kind&0xF0 != mqttPublish {
			continue
		}
		if len(body) < 2 || len(body) < 2+int(binary.BigEndian.Uint16(body)) {
			return "", "", nil, errNotMQTT
		}
		n := int(binary.BigEndian.Uint16(body))
		topic, body = string(body[2:2+n]), body[2+n:]
		if kind&0x06 == 0 {
			return topic, string(body), func() error { return nil }, nil
		}
		if len(body) < 2 {
			return "", "", nil, errNotMQTT
		}
		id := body[:2:2]
		return topic, string(body[2:]), func() error { return b.send(mqttPubAck, id) }, nil
	}
}
