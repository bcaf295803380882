package automation_test

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"zhiwei/engine"
	"zhiwei/store/storetest"
)

// disks makes disks of files: loop devices, where this machine lets us.
type disks struct {
	testing.TB
	dir string
}

func newDisks(t *testing.T, programs ...string) *disks {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip("needs " + p + ": the Debian packages btrfs-progs and xfsprogs, which make test installs")
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("disks are made and mounted: only root may")
	}
	return &disks{t, t.TempDir()}
}

// must runs a program and gives what it said.
func (d *disks) must(args ...string) string {
	d.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		d.Fatalf("%v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// make makes a disk of so many MiB.
func (d *disks) make(name string, mib int64) (device, file string) {
	d.Helper()
	file = filepath.Join(d.dir, name)
	f, err := os.Create(file)
	if err == nil {
		err = f.Truncate(mib << 20)
		f.Close()
	}
	if err != nil {
		d.Fatal(err)
	}
	device = d.must("losetup", "--find", "--show", file)
	d.Cleanup(func() { _ = exec.Command("losetup", "--detach", device).Run() }) // some tests take it out themselves
	return device, file
}

// mount mounts a disk until the test ends.
func (d *disks) mount(device string, options ...string) string {
	d.Helper()
	at := filepath.Join(d.dir, "mnt")
	if err := os.MkdirAll(at, 0o755); err != nil {
		d.Fatal(err)
	}
	d.must(append(append([]string{"mount"}, options...), device, at)...)
	d.Cleanup(func() { _ = exec.Command("umount", at).Run() })
	return at
}

func (d *disks) fill(file string) []byte {
	d.Helper()
	content := make([]byte, 16<<20)
	_, _ = rand.Read(content)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		d.Fatal(err)
	}
	d.must("sync", "-f", file)
	return content
}

func same16(t *testing.T, file string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(file); err != nil || string(got) != string(want) {
		t.Errorf("%s is not what it was: %v", file, err)
	}
}

// Proves B04 (hot swap with rebuild): a real array that lost a disk is rebuilt
// onto the spare, and nothing is done where the spare is not empty or none is
// missing.
func TestAnArrayIsRebuilt(t *testing.T) {
	t.Parallel()
	d := newDisks(t, "mkfs.btrfs", "losetup", "blkid")
	w := shippedWorld(t)
	one, _ := d.make("one", 128)
	two, _ := d.make("two", 128)
	spare, _ := d.make("spare", 128)
	d.must("mkfs.btrfs", "-q", "-m", "raid1", "-d", "raid1", one, two)
	at := d.mount(one)
	content := d.fill(filepath.Join(at, "images"))
	w.thing("array", "", map[string]string{"via": "local", "btrfs": at, "spare": spare})
	refused := func(why string) {
		t.Helper()
		run := w.order("raid-rebuild", map[string]any{"thing": "thing/array"}, false)
		w.until(run, engine.RunFailed)
		if s := w.step(run, "which"); !strings.Contains(s.Output, why) {
			t.Errorf("%s", w.story(run))
		}
	}
	refused("no disk is missing")
	d.must("umount", at)
	d.must("losetup", "--detach", two)
	d.must("btrfs", "device", "scan", "--forget")
	d.mount(one, "-o", "degraded")
	d.must("mkfs.ext4", "-q", spare)
	refused("not empty")
	d.must("wipefs", "-aq", spare)
	run := w.order("raid-rebuild", map[string]any{"thing": "thing/array"}, true)
	w.until(run, engine.RunSucceeded)
	if said := d.must("btrfs", "filesystem", "show", at); !strings.Contains(said, "MISSING") {
		t.Errorf("a dry run did something: %s", said)
	}
	run = w.order("raid-rebuild", map[string]any{"thing": "thing/array"}, false)
	w.until(run, engine.RunSucceeded)
	if said := d.must("btrfs", "filesystem", "show", at); strings.Contains(said, "MISSING") || !strings.Contains(said, spare) {
		t.Errorf("%s", said)
	}
	same16(t, filepath.Join(at, "images"), content)
	refused("not empty") // what was the spare serves now
}

// Proves B04 (mirror health): a real mirror whose one copy was spoilt is mended
// from the other.
func TestAMirrorIsSynchronised(t *testing.T) {
	t.Parallel()
	d := newDisks(t, "mkfs.btrfs", "losetup")
	w := shippedWorld(t)
	one, _ := d.make("one", 128)
	two, file := d.make("two", 128)
	d.must("mkfs.btrfs", "-q", "-m", "raid1", "-d", "raid1", one, two)
	at := d.mount(one)
	content := d.fill(filepath.Join(at, "images"))
	w.thing("mirror", "", map[string]string{"via": "local", "btrfs": at})
	d.must("umount", at)
	d.must("losetup", "--detach", two)
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 128<<20)
	if _, err := f.ReadAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	where := strings.Index(string(raw), string(content[8<<20:8<<20+4096]))
	if where < 0 {
		t.Fatal("the copy was not found on the disk")
	}
	if _, err := f.WriteAt(make([]byte, 64<<10), int64(where)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	again := d.must("losetup", "--find", "--show", file)
	t.Cleanup(func() { _ = exec.Command("losetup", "--detach", again).Run() })
	d.must("btrfs", "device", "scan", one, again)
	d.mount(one)
	run := w.order("mirror-resync", map[string]any{"thing": "thing/mirror"}, false)
	w.until(run, engine.RunSucceeded)
	if s := w.step(run, "resync"); !strings.Contains(s.Output, "csum") {
		t.Errorf("nothing was mended: %s", w.story(run))
	}
	same16(t, filepath.Join(at, "images"), content)
	w.thing("plain", "", map[string]string{"via": "local", "btrfs": "/proc"})
	run = w.order("mirror-resync", map[string]any{"thing": "thing/plain"}, false)
	w.until(run, engine.RunFailed)
}

// Proves B04 (scheduled snapshots): of real snapshots only old read-only ones
// beyond those that must stay are deleted.
func TestSnapshotsArePruned(t *testing.T) {
	t.Parallel()
	d := newDisks(t, "mkfs.btrfs", "losetup")
	w := shippedWorld(t)
	device, _ := d.make("disk", 128)
	d.must("mkfs.btrfs", "-q", device)
	at := d.mount(device)
	folder := filepath.Join(at, "snapshots")
	d.must("btrfs", "-q", "subvolume", "create", filepath.Join(at, "data"))
	if err := os.MkdirAll(filepath.Join(folder, "a plain folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"first", "second", "third"} {
		d.must("btrfs", "-q", "subvolume", "snapshot", "-r", filepath.Join(at, "data"), filepath.Join(folder, s))
	}
	d.must("btrfs", "-q", "subvolume", "snapshot", filepath.Join(at, "data"), filepath.Join(folder, "writable"))
	d.must("btrfs", "-q", "subvolume", "create", filepath.Join(folder, "own"))
	w.thing("store", "", map[string]string{"via": "local", "snapshots": folder, "snapshot_keep": "1"})
	run := w.order("snapshot-prune", map[string]any{"thing": "thing/store"}, false)
	w.until(run, engine.RunFailed)
	if s := w.step(run, "list"); !strings.Contains(s.Output, "no snapshot may be deleted") {
		t.Errorf("snapshots of today: %s", w.story(run))
	}
	w.thing("soon", "", map[string]string{"via": "local", "snapshots": folder, "snapshot_keep": "1", "snapshot_days": "0"})
	await(t, func() bool { // that they are a second old
		run := w.order("snapshot-prune", map[string]any{"thing": "thing/soon"}, true)
		w.until(run, engine.RunSucceeded)
		return d.must("sh", "-c", `[ $(date +%s) -gt $(( $(stat -c %W "$0") + 2 )) ] && echo yes || echo no`, filepath.Join(folder, "third")) == "yes"
	})
	run = w.order("snapshot-prune", map[string]any{"thing": "thing/soon"}, false)
	w.until(run, engine.RunSucceeded)
	left, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(left) != 4 {
		t.Errorf("%v, %v\n%s", left, err, w.story(run))
	}
	for _, s := range []string{"writable", "own", "a plain folder"} {
		if _, err := os.Stat(filepath.Join(folder, s)); err != nil {
			t.Error(err)
		}
	}
}

// Proves B20 (file systems): a file system grows to fill a disk that was made
// larger while it is in use, and is left alone where it was not. That of ext4 may
// not grow in use on every machine of ours: its way is the same.
func TestAFileSystemGrows(t *testing.T) {
	for kind, mkfs := range map[string][]string{"btrfs": {"mkfs.btrfs", "-q"}, "xfs": {"mkfs.xfs", "-q"}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := newDisks(t, mkfs[0], "losetup", "findmnt")
			w := shippedWorld(t)
			device, file := d.make("disk", 320)
			d.must(append(mkfs, device)...)
			at := d.mount(device)
			content := d.fill(filepath.Join(at, "base"))
			w.thing("his", "", map[string]string{"via": "local"})
			order := map[string]any{"thing": "thing/his", "mountpoint": at}
			run := w.order("volume-grow", order, false)
			w.until(run, engine.RunFailed)
			if s := w.step(run, "grow"); !strings.Contains(s.Output, "must be made larger first") {
				t.Errorf("%s", w.story(run))
			}
			if err := os.Truncate(file, 512<<20); err != nil {
				t.Fatal(err)
			}
			d.must("losetup", "--set-capacity", device)
			run = w.order("volume-grow", order, false)
			w.until(run, engine.RunSucceeded)
			same16(t, filepath.Join(at, "base"), content)
		})
	}
}

// Proves B10 (table spaces): a tablespace of a real PostgreSQL has room again when
// the disk it lies on was made larger.
func TestATablespaceGetsRoom(t *testing.T) {
	t.Parallel()
	d := newDisks(t, "mkfs.btrfs", "losetup", "findmnt", "psql")
	url := storetest.Postgres(t)
	w := shippedWorld(t)
	device, file := d.make("disk", 128)
	d.must("mkfs.btrfs", "-q", device)
	at := d.mount(device)
	// The server may run as another user, who must come through to the folder.
	d.must("chmod", "-R", "go+rx", filepath.Dir(d.dir))
	space := filepath.Join(at, "images")
	if err := os.Mkdir(space, 0o777); err != nil {
		t.Fatal(err)
	}
	owner := ask(t, url, "select pg_read_file('/proc/self/status')")
	uid := strings.Fields(owner[strings.Index(owner, "Uid:"):])[1]
	d.must("chown", uid, space)
	ask(t, url, "create tablespace images location '"+space+"'")
	t.Cleanup(func() { ask(t, url, "drop tablespace images") })
	w.thing("his", "", map[string]string{"database": url, "via": "local"})
	if err := os.Truncate(file, 256<<20); err != nil {
		t.Fatal(err)
	}
	d.must("losetup", "--set-capacity", device)
	run := w.order("database-extend-tablespace", map[string]any{"thing": "his", "tablespace": "images"}, false)
	w.until(run, engine.RunSucceeded)
	if s := w.step(run, "grow"); !strings.Contains(s.Output, at) {
		t.Errorf("%s", w.story(run))
	}
	run = w.order("database-extend-tablespace", map[string]any{"thing": "his", "tablespace": "nothing"}, false)
	w.until(run, engine.RunFailed)
	if s := w.step(run, "postgres"); !strings.Contains(s.Message, "no such tablespace") {
		t.Errorf("%s", w.story(run))
	}
}
