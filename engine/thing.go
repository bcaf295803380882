package engine

import (
	"encoding/json"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// ThingKind is the kind of what operations looks after: an application, a
// database, a switch, a battery. Its things and what each stands on are the
// topology over which causes are sought.
const ThingKind = "thing"

// The states of a thing in the ledger. Whether it is well is told by its
// symptoms and alerts, not here: the ledger changes when the hospital buys,
// moves or gives away something, not when it breaks.
const (
	Proposed  = "proposed"  // discovered; a person has not looked yet
	Confirmed = "confirmed" // looked after
	Dismissed = "dismissed" // discovered, and a person said it is none of ours: not proposed again
	// Retired, as of a service: gone for good.
)

// The verbs of a thing beside Note and Retire. Discovery says Note, with what it
// learnt; it never retires, since a sweep that finds nothing may be a bad sweep.
const (
	Confirm = "confirm"
	Dismiss = "dismiss"
	Restore = "restore" // dismissed or retired by mistake
)

// Class is what a thing is.
type Class string

// The classes, from what people use down to what everything stands on.
const (
	ClassApplication Class = "application" // what people use: an outpatient system
	ClassComponent   Class = "component"   // a part of an application that answers others
	ClassMiddleware  Class = "middleware"  // application server, cache, queue, balancer
	ClassDatabase    Class = "database"
	ClassBackupJob   Class = "backup-job"
	ClassCertificate Class = "certificate"
	ClassCluster     Class = "cluster" // several that act as one
	ClassContainer   Class = "container"
	ClassVM          Class = "vm"
	ClassHost        Class = "host"   // a physical computer
	ClassVolume      Class = "volume" // a file system or a logical disk
	ClassArray       Class = "array"  // storage that serves hosts
	ClassDisk        Class = "disk"
	ClassFan         Class = "fan"
	ClassMemory      Class = "memory"
	ClassPrinter     Class = "printer"
	ClassTerminal    Class = "terminal" // a workstation or hand-held
	ClassSwitch      Class = "switch"
	ClassRouter      Class = "router"
	ClassFirewall    Class = "firewall"
	ClassAccessPoint Class = "access-point"
	ClassPort        Class = "port" // of a switch, router or host
	ClassCable       Class = "link"
	ClassSupply      Class = "power-supply" // inside a device
	ClassRack        Class = "rack"
	ClassRoom        Class = "room"
	ClassUPS         Class = "ups"
	ClassBattery     Class = "battery"
	ClassPower       Class = "power" // mains, distribution panel, circuit
	ClassCooling     Class = "cooling"
	ClassSensor      Class = "sensor"
	ClassDevice      Class = "device" // answers, but nobody knows yet what it is
)

// classes are the classes in the order people choose from.
var classes = []kind.Option{
	{Code: string(ClassApplication), Title: tr("应用系统", "Application")},
	{Code: string(ClassComponent), Title: tr("组件", "Component")},
	{Code: string(ClassMiddleware), Title: tr("中间件", "Middleware")},
	{Code: string(ClassDatabase), Title: tr("数据库", "Database")},
	{Code: string(ClassBackupJob), Title: tr("备份任务", "Backup job")},
	{Code: string(ClassCertificate), Title: tr("证书", "Certificate")},
	{Code: string(ClassCluster), Title: tr("集群", "Cluster")},
	{Code: string(ClassContainer), Title: tr("容器", "Container")},
	{Code: string(ClassVM), Title: tr("虚拟机", "Virtual machine")},
	{Code: string(ClassHost), Title: tr("主机", "Host")},
	{Code: string(ClassVolume), Title: tr("卷", "Volume")},
	{Code: string(ClassArray), Title: tr("存储阵列", "Storage array")},
	{Code: string(ClassDisk), Title: tr("磁盘", "Disk")},
	{Code: string(ClassFan), Title: tr("风扇", "Fan")},
	{Code: string(ClassMemory), Title: tr("内存条", "Memory module")},
	{Code: string(ClassPrinter), Title: tr("打印机", "Printer")},
	{Code: string(ClassTerminal), Title: tr("终端", "Terminal")},
	{Code: string(ClassSwitch), Title: tr("交换机", "Switch")},
	{Code: string(ClassRouter), Title: tr("路由器", "Router")},
	{Code: string(ClassFirewall), Title: tr("防火墙", "Firewall")},
	{Code: string(ClassAccessPoint), Title: tr("无线接入点", "Access point")},
	{Code: string(ClassPort), Title: tr("端口", "Port")},
	{Code: string(ClassCable), Title: tr("链路", "Link")},
	{Code: string(ClassSupply), Title: tr("电源模块", "Power supply")},
	{Code: string(ClassRack), Title: tr("机柜", "Rack")},
	{Code: string(ClassRoom), Title: tr("机房", "Room")},
	{Code: string(ClassUPS), Title: tr("不间断电源", "UPS")},
	{Code: string(ClassBattery), Title: tr("蓄电池", "Battery")},
	{Code: string(ClassPower), Title: tr("配电", "Power")},
	{Code: string(ClassCooling), Title: tr("空调", "Cooling")},
	{Code: string(ClassSensor), Title: tr("传感器", "Sensor")},
	{Code: string(ClassDevice), Title: tr("未识别的设备", "Device not recognised")},
}

// Classes lists the classes with their titles.
func Classes() []kind.Option { return append([]kind.Option(nil), classes...) }

// LinkType is how a thing stands on another.
type LinkType string

// The types of links. In each, what the link is written at suffers when what it
// points to fails.
const (
	Uses        LinkType = "uses"         // an application its database, a client its server
	RunsOn      LinkType = "runs-on"      // a process, a virtual machine, a container
	StoredOn    LinkType = "stored-on"    // data on a volume, a volume on a disk or an array
	PoweredBy   LinkType = "powered-by"   // by a circuit, a UPS, a battery
	CooledBy    LinkType = "cooled-by"    // by an air conditioner, a fan
	ConnectedTo LinkType = "connected-to" // to a port or a switch, towards the core
	MemberOf    LinkType = "member-of"    // a part of a whole: a port of its switch, a host in its rack
)

var linkTypes = []kind.Option{
	{Code: string(Uses), Title: tr("使用", "Uses")},
	{Code: string(RunsOn), Title: tr("运行于", "Runs on")},
	{Code: string(StoredOn), Title: tr("存储于", "Stored on")},
	{Code: string(PoweredBy), Title: tr("供电来自", "Powered by")},
	{Code: string(CooledBy), Title: tr("制冷来自", "Cooled by")},
	{Code: string(ConnectedTo), Title: tr("连接到", "Connected to")},
	{Code: string(MemberOf), Title: tr("属于", "Member of")},
}

// Thing is one record of ThingKind as the engines see it.
type Thing struct {
	ID      string            `json:"-"` // of the record, without the kind; label "thing" of metrics
	State   string            `json:"-"` // Proposed, Confirmed, Dismissed, Retired
	Name    string            `json:"name"`
	Class   Class             `json:"class"`
	Address string            `json:"address,omitempty"` // where it is asked: IP address or host name, without a port
	Labels  map[string]string `json:"-"`
	On      []Link            `json:"-"`
	Keys    []string          `json:"keys,omitempty"` // what recognises it again: see KeyForm
}

// Link says that a thing stands on another.
type Link struct {
	Type  LinkType
	Thing string // id
	// Spare says that other links of the same type marked so can take over, as
	// two power supplies do: one of them is enough.
	Spare bool
}

// KeyForm is the form of Thing.Keys: what is known of it, a colon, the value as
// its source writes it in lower case. The types are mac (aa:bb:…), serial,
// engine (an SNMP engine id in hexadecimal), uuid (of SMBIOS or Redfish),
// hostkey (SHA256:… of SSH) and name (the name a device gives itself, the
// weakest). Two things never share a key.
const KeyForm = `(mac|serial|engine|uuid|hostkey|name):\S.*`

// wire is a thing's data: labels and links are lists there, so that they can be
// searched and checked.
type wire struct {
	Thing
	Labels []wireLabel `json:"labels,omitempty"`
	On     []wireLink  `json:"on,omitempty"`
}

type wireLabel struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type wireLink struct {
	Type  LinkType `json:"type"`
	Thing string   `json:"thing"` // "thing/17"
	Spare bool     `json:"spare,omitempty"`
}

// ThingOf reads a record of ThingKind. Invalid where its data is of another
// shape.
func ThingOf(r record.Record) (Thing, error) {
	var w wire
	if err := json.Unmarshal(r.Data, &w); err != nil {
		return Thing{}, errs.E(errs.Invalid, "read thing", r.Key.String(), "台账记录 "+r.Key.String()+" 的内容读不懂；请检查它是否按“运维对象”填写。",
			"The ledger record "+r.Key.String()+" cannot be read; check that it is filled in as a thing.").Because(err)
	}
	t := w.Thing
	t.ID, t.State = r.ID, r.State
	if len(w.Labels) > 0 {
		t.Labels = make(map[string]string, len(w.Labels))
		for _, l := range w.Labels {
			t.Labels[l.Name] = l.Value
		}
	}
	for _, l := range w.On {
		k, ok := record.ParseKey(l.Thing)
		if !ok || k.Kind != ThingKind {
			return Thing{}, errs.E(errs.Invalid, "read thing", r.Key.String(), "台账记录 "+r.Key.String()+" 依赖的“"+l.Thing+"”不是运维对象。",
				"The ledger record "+r.Key.String()+" stands on “"+l.Thing+"”, which is no thing.").At("on.thing")
		}
		t.On = append(t.On, Link{Type: l.Type, Thing: k.ID, Spare: l.Spare})
	}
	return t, nil
}

// Data is the thing as the data of its record, labels in order of their names.
func (t Thing) Data() map[string]any {
	data := map[string]any{"name": t.Name, "class": string(t.Class)}
	if t.Address != "" {
		data["address"] = t.Address
	}
	var labels, on, keys []any
	for _, name := range sortedNames(t.Labels) {
		labels = append(labels, map[string]any{"name": name, "value": t.Labels[name]})
	}
	for _, l := range t.On {
		link := map[string]any{"type": string(l.Type), "thing": record.Key{Kind: ThingKind, ID: l.Thing}.String()}
		if l.Spare {
			link["spare"] = true
		}
		on = append(on, link)
	}
	for _, k := range t.Keys {
		keys = append(keys, k)
	}
	for name, list := range map[string][]any{"labels": labels, "on": on, "keys": keys} {
		if len(list) > 0 {
			data[name] = list
		}
	}
	return data
}

// Things declares the kind of what operations looks after. People fill it in by
// hand or confirm what discovery proposes.
func Things() kind.Kind {
	learnt := []string{"address", "labels", "on", "keys", "source", "foundAt", "missingSince"}
	instant := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Time, Title: tr(zh, en), ReadOnly: true}
	}
	return kind.Kind{
		Name: ThingKind, Plural: "things", Title: tr("运维对象", "Thing"),
		Help: tr("运维看护的对象：它是什么、在哪里、依赖什么。", "What operations looks after: what it is, where it is, what it stands on."),
		Fields: []kind.Field{
			kind.Line("name", "名称", "Name").Must(),
			{Name: "class", Type: kind.Code, Title: tr("类别", "Class"), Required: true, Options: classes},
			{
				Name: "address", Type: kind.String, Title: tr("地址", "Address"), MaxLen: 253, Pattern: `[A-Za-z0-9.:%_-]+`,
				Help: tr("IP 地址或主机名，不含端口。", "An IP address or a host name, without a port."),
			},
			{Name: "on", Type: kind.Object, Many: true, Title: tr("依赖", "Stands on"), Fields: []kind.Field{
				{Name: "type", Type: kind.Code, Title: tr("方式", "How"), Required: true, Options: linkTypes},
				{Name: "thing", Type: kind.Ref, To: []string{ThingKind}, Title: tr("对象", "On what"), Required: true},
				{Name: "spare", Type: kind.Bool, Title: tr("可互相替代", "Another can take over"), Help: tr("同一方式中标记的几个，有一个就够。", "Of those marked so in the same way, one is enough.")},
			}},
			{Name: "labels", Type: kind.Object, Many: true, Title: tr("标签", "Labels"), Fields: []kind.Field{
				{Name: "name", Type: kind.String, Title: tr("名", "Label"), Required: true, Pattern: `[a-zA-Z_][a-zA-Z0-9_]*`, MaxLen: 64},
				{Name: "value", Type: kind.String, Title: tr("值", "Value"), Required: true, MaxLen: 256},
			}},
			{
				Name: "keys", Type: kind.String, Many: true, Title: tr("识别依据", "Recognised by"), Pattern: KeyForm, MaxLen: 256,
				Help: tr("地址变了也能认出它：mac:、serial:、engine:、uuid:、hostkey:、name:。", "What recognises it where its address changed: mac:, serial:, engine:, uuid:, hostkey:, name:."),
			},
			kind.Line("source", "由谁发现", "Found by").Auto(),
			instant("foundAt", "发现于", "Found at"),
			instant("missingSince", "扫描未见自", "Not seen since"),
		},
		Search: []kind.Param{
			kind.ByWords("name"), kind.ByToken("class"), kind.ByToken("address"),
			{Name: "key", Type: kind.TokenParam, Path: "keys", Title: tr("识别依据", "Recognised by")},
			{Name: "on", Type: kind.ReferenceParam, Path: "on.thing", To: []string{ThingKind}, Title: tr("依赖", "Stands on")},
			{Name: "missing", Type: kind.DateParam, Path: "missingSince", Title: tr("扫描未见自", "Not seen since")},
		},
		Access: []kind.Grant{
			{Role: RoleOps, Can: []string{"read", "history", "create", "update", Confirm, Dismiss, Restore, Retire}}, mgr,
		},
		View: kind.View{
			TitleField: "name", Columns: []string{"name", "class", "address", "state", "source", "missingSince"},
			Filters: []string{"name", "class", "address", "_state"}, Sort: "name", Menu: "ops", Icon: "Share", Order: 5,
		},
		Lifecycle: &kind.Lifecycle{Start: Proposed, States: []kind.State{
			{Name: Proposed, Title: tr("待确认", "Proposed"), Tone: "warn", Edit: true},
			{Name: Confirmed, Title: tr("在管", "Looked after"), Tone: "good", Edit: true},
			{Name: Dismissed, Title: tr("不在管", "Dismissed"), Tone: "idle"},
			{Name: Retired, Title: tr("已退役", "Retired"), Tone: "idle"},
		}, Verbs: []kind.Verb{
			{Name: Confirm, Title: tr("确认在管", "Confirm"), From: []string{Proposed}, To: Confirmed, Primary: true, Input: []string{"name", "class", "address", "on", "labels"}},
			{Name: Dismiss, Title: tr("不予看护", "Dismiss"), From: []string{Proposed}, To: Dismissed, Undo: Restore},
			{
				Name: Retire, Title: tr("退役", "Retire"), From: []string{Proposed, Confirmed}, To: Retired, Undo: Restore, Confirm: true,
				Evidence: []kind.Evidence{{Name: "reason", Title: tr("去向与原因", "Where it went and why"), Required: true}},
			},
			{Name: Restore, Title: tr("恢复在管", "Restore"), From: []string{Dismissed, Retired}, To: Confirmed},
			{Name: Note, Title: tr("记下所见", "Note"), From: []string{"*"}, Input: learnt, Clock: true},
		}},
	}
}
