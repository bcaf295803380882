package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Every thing of the world has an address of its own in 127.0.0.0/8, all of which
// is this machine (RFC 1122 §3.2.1.3): ports need not be odd, parks on one machine
// do not meet, and addresses tell things apart as they do in a hospital.
//
// A daemon that is reached over the switch listens behind it, and the wire of
// its port listens where the ledger says the thing is.
var hostPart = map[string]int{
	"sw-core": 2, "ups-1": 3, "ac-1": 4, "srv-app-01": 5, "srv-db-01": 6, "facts": 7, "dns-1": 8, "srv-file-01": 9, "array-1": 10,
	"his-db": 11, "his-db-replica": 12, "his-redis": 13, "mq-1": 14,
	"his-api": 21, "lis-api": 22, "pacs-api": 23, "his-web": 24, "his-gate": 25, "zhiwei": 30, "zhiwei-syslog": 30, "zhiwei-traps": 30, "tape-1": 31,
}

// behind is added to the last part of the address of a daemon behind the switch.
const behind = 100

// ports are where the daemons listen; none needs a privilege.
var ports = map[string]int{
	"sw-core": 1161, "ups-1": 3493, "ac-1": 5020, "srv-app-01": 2222, "srv-db-01": 2222, "facts": 9100, "dns-1": 5353, "srv-file-01": 1623,
	"his-db": 5432, "his-db-replica": 5432, "his-redis": 6379, "mq-1": 1883,
	"his-api": 8081, "lis-api": 8082, "pacs-api": 8083, "his-web": 8080, "his-gate": 8443, "zhiwei": 8088, "zhiwei-syslog": 1514, "zhiwei-traps": 1162,
}

// redfishPort is where the management controllers of the servers listen.
const redfishPort = 8443

// net24 is three parts of an address of 127.0.0.0/8, held for one park.
type net24 struct {
	prefix string
	held   net.Listener
}

// takeNet finds a part of 127.0.0.0/8 that no other park holds.
func takeNet(r *rand.Rand) (net24, error) {
	var err error
	for range 100 {
		prefix := fmt.Sprintf("127.%d.%d.", 16+r.IntN(200), r.IntN(256))
		var l net.Listener
		if l, err = net.Listen("tcp", prefix+"1:9"+strconv.Itoa(999)); err == nil {
			return net24{prefix, l}, nil
		}
	}
	return net24{}, fmt.Errorf("no part of 127.0.0.0/8 is free: %w", err)
}

// host is the address of a thing as the ledger has it.
func (n net24) host(name string) string { return n.prefix + strconv.Itoa(hostPart[name]) }

// at is host with the port.
func (n net24) at(name string) string {
	return net.JoinHostPort(n.host(name), strconv.Itoa(ports[name]))
}

// inner is where the daemon behind the switch listens.
func (n net24) inner(name string) (host, hostPort string) {
	host = n.prefix + strconv.Itoa(hostPart[name]+behind)
	return host, net.JoinHostPort(host, strconv.Itoa(ports[name]))
}
