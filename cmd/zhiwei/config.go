package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"

	"zhiwei/kernel/errs"
)

// settings is what serve remembers in DIR/settings.yaml, so that every other
// command finds the same stores.
type settings struct {
	Site   string `yaml:"site"`
	Store  string `yaml:"store"`  // "sqlite" or a postgres:// URL
	Blobs  string `yaml:"blobs"`  // a folder; relative to the data folder
	Series string `yaml:"series"` // "local"
}

const settingsFile = "settings.yaml"

// loadSettings reads what serve remembered; the defaults where it never ran.
func loadSettings(dir string) (settings, error) {
	s := settings{Site: "main", Store: "sqlite", Blobs: "blobs", Series: "local"}
	raw, err := os.ReadFile(filepath.Join(dir, settingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, errs.Wrap("settings", dir, err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return s, errs.E(errs.Invalid, "settings", settingsFile, "settings.yaml 有误："+err.Error(), "settings.yaml is wrong: "+err.Error())
	}
	return s, nil
}

// save writes the settings whole or not at all, readable by the owner only: a
// database URL may hold a password.
func (s settings) save(dir string) error {
	raw, err := yaml.Marshal(s)
	if err != nil {
		return errs.Wrap("settings", dir, err)
	}
	path := filepath.Join(dir, settingsFile)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, raw) {
		return nil
	}
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return errs.Wrap("settings", dir, err)
	}
	return errs.Wrap("settings", dir, os.Rename(path+".new", path))
}

// config is the configuration file: one section an application.
type config struct {
	path     string
	lines    []string
	sections map[string][2]int // name → first line and the line after its last

	mu    sync.Mutex
	asked map[string]bool
}

// noConfig is the empty configuration.
func noConfig() *config {
	return &config{sections: map[string][2]int{}, asked: map[string]bool{}}
}

// loadConfig reads the file; an empty path is an empty configuration.
func loadConfig(path string) (*config, error) {
	c := noConfig()
	c.path = path
	if path == "" {
		return c, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, errs.E(errs.Invalid, "config", path, "无法读取配置文件 "+path+"。", "The configuration file "+path+" cannot be read.").Because(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(raw, &root); err != nil {
		return nil, c.wrong(err)
	}
	if len(root.Content) == 0 {
		return c, nil
	}
	top := root.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, c.wrong(errors.New("the file must be a mapping of sections"))
	}
	c.lines = strings.SplitAfter(string(raw), "\n")
	for i := 0; i < len(top.Content); i += 2 {
		end := len(c.lines)
		if i+2 < len(top.Content) {
			end = top.Content[i+2].Line - 1
		}
		name := top.Content[i].Value
		if _, twice := c.sections[name]; twice {
			return nil, c.wrong(fmt.Errorf("line %d: the section %s stands there twice", top.Content[i].Line, name))
		}
		c.sections[name] = [2]int{top.Content[i].Line - 1, end}
	}
	return c, nil
}

func (c *config) wrong(err error) error {
	s := strings.TrimPrefix(err.Error(), "yaml: ")
	return errs.E(errs.Invalid, "config", c.path, "配置文件 "+c.path+" 有误："+s, "The configuration file "+c.path+" is wrong: "+s)
}

// section decodes one section strictly. Lines in errors are those of the file:
// what stands before the section is decoded as empty lines.
func (c *config) section(name string, into any) error {
	c.mu.Lock()
	c.asked[name] = true
	c.mu.Unlock()
	at, there := c.sections[name]
	if !there {
		return nil
	}
	text := strings.Repeat("\n", at[0]) + strings.Join(c.lines[at[0]:at[1]], "")
	holder := reflect.New(reflect.MapOf(reflect.TypeFor[string](), reflect.TypeOf(into).Elem()))
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(holder.Interface()); err != nil {
		return c.wrong(err)
	}
	reflect.ValueOf(into).Elem().Set(holder.Elem().MapIndex(reflect.ValueOf(name)))
	return nil
}

// strangers refuses sections that nobody asked for: a misspelt one would
// otherwise be ignored.
func (c *config) strangers() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, at := range c.sections {
		if !c.asked[name] {
			known := make([]string, 0, len(c.asked))
			for a := range c.asked {
				known = append(known, a)
			}
			slices.Sort(known)
			return c.wrong(fmt.Errorf("line %d: unknown section %s; known: %s", at[0]+1, name, strings.Join(known, ", ")))
		}
	}
	return nil
}
