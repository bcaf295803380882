package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/chromedp/cdproto/network"
	cdp "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// listed is how many records the long list holds (issue 2).
const listed = 100_000

// views is how often a page is opened cold; the median counts.
const views = 7

// pages measures the pages as a person at a desk gets them: Chromium at
// 1366×768, nothing cached at first.
func pages(ctx context.Context, b *bench, _ string) (err error) {
	s, err := b.serve(ctx, filepath.Join(b.work, "pages"), "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	rows := listed
	if b.quick {
		rows = 5_000
	}
	if err := s.shelve(ctx, rows); err != nil {
		return err
	}
	if err := s.hire(ctx); err != nil {
		return err
	}
	cookie, err := s.signIn(ctx)
	if err != nil {
		return err
	}

	var signIn, list latencies
	for range views {
		err := s.browse(ctx, nil, func(page context.Context) error {
			d, err := open(page, s.url("/sign-in"), `!!document.querySelector('#password')`)
			signIn = append(signIn, d)
			return err
		})
		if err != nil {
			return fmt.Errorf("sign-in page: %w", err)
		}
		err = s.browse(ctx, cookie, func(page context.Context) error {
			d, err := open(page, s.url("/copies"), rowShown)
			list = append(list, d)
			return err
		})
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
	}
	var after, scroll, filter, search latencies
	err = s.browse(ctx, nil, func(page context.Context) (err error) {
		if after, err = s.enter(page); err != nil {
			return fmt.Errorf("signing in: %w", err)
		}
		if scroll, err = timed(page, scrolling); err != nil {
			return fmt.Errorf("scrolling: %w", err)
		}
		if filter, err = timed(page, filtering); err != nil {
			return fmt.Errorf("filtering: %w", err)
		}
		search, err = timed(page, searching)
		return err
	})
	if err != nil {
		return err
	}

	goal := Goal{AtMost: 1}
	b.add(Figure{
		Name: "first view: sign-in page, cold", Goal: goal, Got: signIn.at(0.5).Seconds(), Unit: "s", Command: "Chromium, empty profile, /sign-in",
		Note: fmt.Sprintf("Largest contentful paint with the form in place; median of %d new browsers, worst %s s.", len(signIn), number(signIn.at(1).Seconds())),
	})
	b.add(Figure{
		Name: "first view: a list, cold", Goal: goal, Got: list.at(0.5).Seconds(), Unit: "s", Command: "Chromium, empty profile but for the session, /copies",
		Note: fmt.Sprintf("From the navigation to the painted first rows of %s; median of %d new browsers, worst %s s.", number(float64(rows)), len(list), number(list.at(1).Seconds())),
	})
	b.add(Figure{
		Name: "from the sign-in button to the first rows", Got: after.at(1).Seconds(), Unit: "s", Command: "Chromium, /sign-in?next=/copies",
		Note: "The password is hashed by argon2id on purpose, which is most of it.",
	})
	within := Goal{AtMost: 100}
	name := number(float64(rows)) + " records: "
	b.add(Figure{
		Name: name + "scroll until the rows are painted, p95", Goal: within, Got: ms(scroll.at(0.95)), Unit: "ms", Command: "Chromium, /copies, a screen at a time",
		Note: fmt.Sprintf("%d steps of a screen, further pages fetched on the way; p50 %.0f ms, worst %.0f ms.", len(scroll), ms(scroll.at(0.5)), ms(scroll.at(1))),
	})
	b.add(Figure{
		Name: name + "filter until the rows are painted, p95", Goal: within, Got: ms(filter.at(0.95)), Unit: "ms", Command: "Chromium, /copies, the filter by bar code",
		Note: fmt.Sprintf("%d filters; p50 %.0f ms, worst %.0f ms.", len(filter), ms(filter.at(0.5)), ms(filter.at(1))),
	})
	b.add(Figure{
		Name: name + "search box, from the last key to the painted rows, p95", Got: ms(search.at(0.95)), Unit: "ms", Command: "Chromium, /copies, the search box",
		Note: fmt.Sprintf("With the rest the page waits for the next key; p50 %.0f ms.", ms(search.at(0.5))),
	})
	return nil
}

// librarian is who looks at the pages.
const (
	librarianID       = "bench"
	librarianPassword = "among-the-books-44"
)

func (s *served) url(path string) string { return "http://" + s.address + path }

// local speaks through the folder's socket, as commands on the machine do.
func (s *served) local(ctx context.Context, path, contentType string, body []byte, into any) error {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.dir, "zhiwei.sock"))
	}}}
	defer client.CloseIdleConnections()
	return exchange(ctx, client, http.MethodPost, "http://zhiwei"+path, "", contentType, body, into)
}

// shelve puts many books on the shelf, through the door's import.
func (s *served) shelve(ctx context.Context, n int) error {
	const atOnce = 10_000 // the most the door takes
	for from := 0; from < n; from += atOnce {
		var lines bytes.Buffer
		for i := from; i < min(from+atOnce, n); i++ {
			fmt.Fprintf(&lines, `{"data":{"title":"%s %06d","author":"%s","barcode":"B%06d"}}`+"\n", titles[i%len(titles)], i, authors[i%len(authors)], i)
		}
		if err := s.local(ctx, "/api/copies/import", "application/x-ndjson", lines.Bytes(), nil); err != nil {
			return err
		}
	}
	return nil
}

var (
	titles  = []string{"内科学", "外科护理学", "诊断学", "药理学", "医学影像学", "急诊医学", "医院感染管理"}
	authors = []string{"葛均波", "李乐之", "万学红", "杨宝峰", "徐克", "沈洪", "胡必杰", "张三", "李四", "王五", "赵六"}
)

// hire makes the librarian with a password of her own.
func (s *served) hire(ctx context.Context) error {
	user := `{"id":"` + librarianID + `","data":{"name":"李馆员","login":"` + librarianID + `","roles":["role/librarian"]}}`
	if err := s.local(ctx, "/api/users", "application/json", []byte(user), nil); err != nil {
		return err
	}
	var issued struct{ Password string }
	if err := s.local(ctx, "/api/users/"+librarianID+"/password", "application/json", []byte("{}"), &issued); err != nil {
		return err
	}
	cookie, err := s.session(ctx, issued.Password)
	if err != nil {
		return err
	}
	change, err := json.Marshal(map[string]string{"old": issued.Password, "new": librarianPassword})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url("/api/session/password"), bytes.NewReader(change))
	if err != nil {
		return err
	}
	req.AddCookie(cookie)
	return send(http.DefaultClient, req, "application/json", nil)
}

// signIn gives the cookie of a session of the librarian's.
func (s *served) signIn(ctx context.Context) (*http.Cookie, error) {
	return s.session(ctx, librarianPassword)
}

func (s *served) session(ctx context.Context, password string) (*http.Cookie, error) {
	body, err := json.Marshal(map[string]string{"user": librarianID, "password": password})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url("/api/session"), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Zhiwei-CSRF", "1")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if c.Name == "zhiwei_session" {
			return c, nil
		}
	}
	return nil, fmt.Errorf("signing in: %s", res.Status)
}

// browse gives a page of a new browser with an empty profile, or one that holds
// a session's cookie and nothing else.
func (s *served) browse(ctx context.Context, cookie *http.Cookie, look func(page context.Context) error) error {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1366, 768),
		chromedp.Flag("lang", "zh-CN"), chromedp.Flag("disable-quic", true))
	browser, end := chromedp.NewExecAllocator(ctx, options...)
	defer end()
	page, closePage := chromedp.NewContext(browser)
	defer closePage()
	if err := chromedp.Do(page, chromedp.Navigate("about:blank")); err != nil { // the browser's own start is not the page's
		return err
	}
	page, cancel := context.WithTimeout(page, 3*time.Minute)
	defer cancel()
	if cookie != nil {
		if _, err := chromedp.Call(page, network.SetCookie, network.SetCookieParams{Name: cookie.Name, Value: cookie.Value, URL: s.url("/")}); err != nil {
			return err
		}
	}
	return look(page)
}

// rowShown holds once a list shows rows.
const rowShown = `!!document.querySelector('tr[data-row] a.row-link')`

// open navigates and tells how long after the start of the navigation what is
// asked for was painted: the later of the largest contentful paint and the frame
// in which the condition first holds.
func open(page context.Context, url, condition string) (time.Duration, error) {
	script := `(async () => {
		const frame = () => new Promise((r) => requestAnimationFrame(r))
		const end = performance.now() + 20000
		while (!(` + condition + `)) {
			if (performance.now() > end) throw new Error('not shown: ' + document.body.innerText.slice(0, 300))
			await frame()
		}
		// What the next frames paint is on the screen.
		const there = await frame()
		const largest = await new Promise((resolve) => {
			let last = 0
			new PerformanceObserver((list) => { for (const e of list.getEntries()) last = e.startTime }).observe({ type: 'largest-contentful-paint', buffered: true })
			setTimeout(() => resolve(last), 300)
		})
		return window.__shown = Math.max(window.__there ?? there, largest)
	})()`
	// The frame is noted by the page itself: a script that comes in by the debugger
	// may come late.
	watch := `(() => { const look = (at) => { if (` + condition + `) window.__there = at; else requestAnimationFrame(look) }; requestAnimationFrame(look) })()`
	if _, err := chromedp.Call(page, cdp.AddScriptToEvaluateOnNewDocument, cdp.AddScriptToEvaluateOnNewDocumentParams{Source: watch}); err != nil {
		return 0, err
	}
	if err := chromedp.Do(page, chromedp.Navigate(url)); err != nil {
		return 0, err
	}
	took, err := awaited[float64](page, script)
	return time.Duration(took * float64(time.Millisecond)), err
}

// enter signs in as a person does and tells how long after the button the first
// rows were there.
func (s *served) enter(page context.Context) (latencies, error) {
	if _, err := open(page, s.url("/sign-in?next=/copies"), `!!document.querySelector('#password')`); err != nil {
		return nil, err
	}
	if err := chromedp.Do(page, chromedp.SendKeys("#user", librarianID), chromedp.SendKeys("#password", librarianPassword)); err != nil {
		return nil, err
	}
	return timed(page, `const t = performance.now()
		document.querySelector('form button[type=submit]').click()
		await until(() => `+rowShown+`)
		took.push(await painted() - t)`)
}

// The steps of a person at the list. took gets milliseconds.
const (
	scrolling = `const box = document.querySelector('.table-scroll')
		box.scrollTop = 0
		await painted()
		for (let i = 0; i < 150; i++) {
			const t = performance.now()
			box.scrollTop += box.clientHeight - 40
			// The rows in sight are drawn, not the gap above or below them.
			await until(() => {
				const r = box.getBoundingClientRect()
				const at = (y) => document.elementFromPoint(r.left + 60, y)?.closest('tr[data-row]')
				return at(r.top + r.height / 2) && at(r.bottom - 60)
			})
			took.push(await painted() - t)
			await new Promise((r) => setTimeout(r, 100))
		}
		box.scrollTop = 0
		await painted()`
	filtering = `const input = [...document.querySelectorAll('.filters label.filter input')].at(-1)
		const ask = async (value, shown) => {
			const t = performance.now()
			input.value = value
			input.dispatchEvent(new Event('change', { bubbles: true }))
			await until(shown)
			return await painted() - t
		}
		const first = () => document.querySelector('tr[data-row="0"]')?.innerText ?? ''
		for (let i = 0; i < 25; i++) {
			const code = 'B' + String((i * 197 + 11) % 5000).padStart(6, '0')
			took.push(await ask(code, () => first().includes(code) && !document.querySelector('tr[data-row="1"]')))
			await new Promise((r) => setTimeout(r, 150))
		}
		await ask('', () => document.querySelector('tr[data-row="10"]'))`
	searching = `const input = document.querySelector('.filters label.search input')
		const first = () => document.querySelector('tr[data-row="0"]')?.innerText ?? ''
		for (const [typed, shown] of [['neike', '内科学'], ['外科', '外科护理学'], ['zdx', '诊断学'], ['药理', '药理学'], ['jizhen', '急诊医学'], ['影像', '医学影像学']]) {
			const t = performance.now()
			input.value = typed
			input.dispatchEvent(new Event('input', { bubbles: true }))
			await until(() => first().includes(shown))
			took.push(await painted() - t)
			await new Promise((r) => setTimeout(r, 300))
		}`
)

// timed runs steps in the page and gives the times they took.
func timed(page context.Context, steps string) (latencies, error) {
	script := `(async () => {
		const took = []
		const frame = () => new Promise((r) => requestAnimationFrame(r))
		const painted = async () => { await frame(); await new Promise((r) => setTimeout(r, 0)); return performance.now() }
		const until = async (what) => {
			const end = performance.now() + 20000
			while (!what()) {
				if (performance.now() > end) throw new Error('waited in vain for ' + what + ': ' + document.body.innerText.slice(0, 300))
				await frame()
			}
		}
		` + steps + `
		return took
	})()`
	all, err := awaited[[]float64](page, script)
	if err != nil {
		return nil, err
	}
	out := make(latencies, len(all))
	for i, v := range all {
		out[i] = time.Duration(v * float64(time.Millisecond))
	}
	return out, nil
}

// awaited evaluates a script in the page and waits for its promise.
func awaited[T any](page context.Context, script string) (T, error) {
	return chromedp.Run(page, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
}
