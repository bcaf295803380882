package people

import "sync"

// serial lets one at a time through for each name, so that guesses sent at once
// cannot all be counted before the first of them is.
type serial struct {
	mu   sync.Mutex
	held map[string]*turn
}

type turn struct {
	sync.Mutex
	users int
}

// enter waits for its turn and returns what ends it.
func (s *serial) enter(name string) (leave func()) {
	s.mu.Lock()
	t := s.held[name]
	if t == nil {
		t = &turn{}
		s.held[name] = t
	}
	t.users++
	s.mu.Unlock()
	t.Lock()
	return func() {
		t.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(s.held, name)
		}
	}
}
