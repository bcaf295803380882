package people

import (
	"context"
	"strings"
	"testing"
)

func TestPasswordRules(t *testing.T) {
	for password, ok := range map[string]bool{
		"":                            false,
		"short-1":                     false,
		"password123":                 false,
		"Hospital2026!":               false, // a common word and a year
		"qwertyuiop123":               false,
		"anna-likes-tea-9":            false, // the user name
		"张三的密码很长很长很长":                 false, // the name
		"aaaaaaaaaaaaaaaa":            false,
		"abababababab1":               false,
		"onlylowerletter":             false, // one kind of characters, and no sentence
		"nothing but plain words":     true,
		"correcthorsebatterystaple":   true, // long enough to be of one kind
		"Blue-Kingfisher-42":          true,
		"蓝色翠鸟飞过三月的河面2026":             true,
		"with\x00nul-inside-1":        false,
		strings.Repeat("aB3-xyz", 40): false, // longer than anybody types
	} {
		if err := CheckPassword(password, "anna", "张三", 10); (err == nil) != ok {
			t.Errorf("%q: %v", password, err)
		}
	}
}

func TestHashes(t *testing.T) {
	h := newHasher(1)
	phc, err := h.hash(t.Context(), "Blue-Kingfisher-42")
	if err != nil || !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(phc, err)
	}
	again, err := h.hash(t.Context(), "Blue-Kingfisher-42")
	if err != nil || again == phc {
		t.Fatal("two hashes of one password are the same", err)
	}
	for password, want := range map[string]bool{"Blue-Kingfisher-42": true, "blue-kingfisher-42": false, "": false} {
		if ok, err := h.verify(t.Context(), phc, password); ok != want || err != nil {
			t.Errorf("%q: %v, %v", password, ok, err)
		}
	}
	// From the reference implementation (P-H-C/phc-winner-argon2, src/test.c).
	if ok, err := verifyHash("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", []byte("password")); err != nil || !ok {
		t.Errorf("the reference's hash: %v, %v", ok, err)
	}
	if ok, err := h.verify(t.Context(), "", "nobody has this"); ok || err != nil {
		t.Errorf("an unknown user got in: %v, %v", ok, err)
	}
	for _, planted := range []string{
		"plain", "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=64,t=99999,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=1,p=0$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAA", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=64,t=1,p=1$$",
	} {
		if ok, err := verifyHash(planted, []byte("x")); ok || err == nil {
			t.Errorf("%s: %v, %v", planted, ok, err)
		}
	}
	full := newHasher(1)
	full.slots <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := full.hash(ctx, "x"); err == nil {
		t.Error("more at once than allowed")
	}
}

func TestOneTimePasswordsPassTheirOwnRules(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		p, err := oneTime()
		if err != nil || seen[p] || len(p) != 19 {
			t.Fatal(p, err)
		}
		seen[p] = true
	}
}

func FuzzParseBearer(f *testing.F) {
	b, err := newBearer()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.session())
	f.Add(b.token())
	f.Add("zw__")
	f.Fuzz(func(t *testing.T, s string) {
		if b, ok := parseSession(s); ok && b.session() != s {
			t.Errorf("%q became %q", s, b.session())
		}
		if b, ok := parseToken(s); ok && b.token() != s {
			t.Errorf("%q became %q", s, b.token())
		}
	})
}

func FuzzVerifyHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=,t=,p=$$")
	f.Fuzz(func(t *testing.T, phc string) {
		if strings.Contains(phc, "t=1,p=1$") || !strings.Contains(phc, "argon2id") { // what is cheap to compute, or refused
			if ok, _ := verifyHash(phc, []byte("x")); ok {
				t.Errorf("%q holds for x", phc)
			}
		}
	})
}
