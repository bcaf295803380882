// Package librarydesk lends books. It has nothing to do with hospitals: it shows
// that the kernel is general (A27) and is the example of CONTRIBUTING.md. All of
// its pages are generated from what is declared here.
package librarydesk

import (
	"context"
	"encoding/json"
	"time"

	"zhiwei/kernel/app"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Desk is the application.
type Desk struct{}

var T = kind.T

// Who may do what: librarians everything, everybody may look for a book.
var librarian = kind.Grant{Role: "librarian", Can: []string{"*"}}

// Register declares five kinds and one loop.
func (Desk) Register(r *app.Registrar) error {
	r.Menu(app.Section{Name: "library", Title: T("图书借阅", "Library desk"), Icon: "Reading", Order: 800})
	r.Kind(kind.Kind{
		Name: "copy", Plural: "copies", Title: T("馆藏", "Copy"), Help: T("书架上的一册书。", "One book on the shelf."),
		Fields: []kind.Field{kind.Line("title", "书名", "Title").Must(), kind.Line("author", "作者", "Author"), kind.Line("barcode", "条码", "Bar code").Must()},
		Search: []kind.Param{kind.ByWords("title"), kind.ByWords("author"), kind.ByToken("barcode")},
		Access: []kind.Grant{librarian, {Role: "*", Can: []string{"read"}}},
		View:   kind.View{TitleField: "title", Columns: []string{"title", "author", "barcode"}, Filters: []string{"title", "barcode"}, Sort: "title", Menu: "library", Icon: "Notebook", Order: 2},
	})
	r.Kind(kind.Kind{
		Name: "reader", Plural: "readers", Title: T("读者", "Reader"), Help: T("可以借书的人。", "Somebody who may borrow."),
		Fields: []kind.Field{kind.Line("name", "姓名", "Name").Must(), kind.Line("card", "借书证号", "Card number").Must(), kind.Line("phone", "电话", "Phone")},
		Search: []kind.Param{kind.ByWords("name"), kind.ByToken("card")},
		Access: []kind.Grant{librarian},
		View:   kind.View{TitleField: "name", Columns: []string{"name", "card", "state"}, Filters: []string{"name", "card"}, Sort: "name", Menu: "library", Icon: "User", Order: 3},
		Lifecycle: &kind.Lifecycle{Start: "active", States: []kind.State{{Name: "active", Title: T("正常", "Active"), Tone: "good", Edit: true}, {Name: "blocked", Title: T("停借", "Blocked"), Tone: "bad", Edit: true}}, Verbs: []kind.Verb{
			{Name: "block", Title: T("停借", "Block"), From: []string{"active"}, To: "blocked", Evidence: reason, Undo: "unblock"},
			{Name: "unblock", Title: T("恢复", "Unblock"), From: []string{"blocked"}, To: "active"},
		}},
	})
	r.Kind(kind.Kind{
		Name: "loan", Plural: "loans", Title: T("借阅", "Loan"), Help: T("一册书借给一位读者，14 天内归还。", "A copy lent to a reader, back within 14 days."),
		Fields: []kind.Field{
			kind.Link("copy", "馆藏", "Copy"), kind.Link("reader", "读者", "Reader"),
			{Name: "renewals", Type: kind.Int, Title: T("续借次数", "Renewals"), Default: json.Number("0"), ReadOnly: true},
			{Name: "fine", Type: kind.Decimal, Title: T("逾期费", "Fine"), Unit: "CNY", ReadOnly: true},
		},
		Search: []kind.Param{kind.ByLink("copy"), kind.ByLink("reader")},
		Access: []kind.Grant{librarian},
		View:   kind.View{Columns: []string{"copy", "reader", "state", "renewals", "fine", "updatedAt"}, Filters: []string{"_state", "reader", "copy"}, Menu: "library", Icon: "Tickets", Order: 1},
		Guards: []kind.Guard{
			{If: `old != null || record(data.reader).state == "active"`, Say: T("该读者已停借，请先恢复。", "This reader is blocked; unblock the reader first.")},
			{If: `old != null || count("loan", "copy=" + data.copy + "&_state=out,overdue") == 0`, Say: T("这册书已借出，请等归还或预约。", "This copy is lent; wait for its return or reserve it.")},
			{If: `old != null || count("loan", "reader=" + data.reader + "&_state=out,overdue") < 5`, Say: T("每位读者最多借 5 册，请先归还。", "A reader may hold 5 books; return one first.")},
			{If: `old != null || count("reservation", "copy=" + data.copy + "&_state=ready") == count("reservation", "copy=" + data.copy + "&reader=" + data.reader + "&_state=ready")`, Say: T("这册书为另一位读者保留。", "This copy is kept for another reader.")},
		},
		Lifecycle: &kind.Lifecycle{Start: "out", States: []kind.State{
			{Name: "out", Title: T("借出", "Lent"), Tone: "info", Limit: &kind.Limit{After: "14d", Remind: []string{"2d"}, Then: "fall-due", Who: "librarian"}},
			{Name: "overdue", Title: T("逾期", "Overdue"), Tone: "bad"},
			{Name: "returned", Title: T("已还", "Returned"), Tone: "good", Final: true},
			{Name: "lost", Title: T("遗失", "Lost"), Tone: "bad", Final: true},
		}, Verbs: []kind.Verb{
			{Name: "return", Title: T("归还", "Return"), From: []string{"out", "overdue"}, To: "returned", Primary: true, Set: map[string]string{"fine": `state == "overdue" ? times("0.10", days(entered, now)) : "0.00"`}},
			{Name: "renew", Title: T("续借", "Renew"), From: []string{"out"}, To: "out", Set: map[string]string{"renewals": "data.renewals + 1"}, Guards: []kind.Guard{
				{If: "data.renewals < 2", Say: T("最多续借两次。", "A loan is renewed at most twice.")},
				{If: `count("reservation", "copy=" + data.copy + "&_state=waiting") == 0`, Say: T("有读者在等这册书，不能续借。", "Somebody waits for this copy; it cannot be renewed.")},
			}},
			{Name: "fall-due", Title: T("转为逾期", "Fall due"), From: []string{"out"}, To: "overdue", Clock: true},
			{Name: "lose", Title: T("报失", "Report lost"), From: []string{"out", "overdue"}, To: "lost", Evidence: reason, Confirm: true},
		}},
	})
	r.Kind(kind.Kind{
		Name: "reservation", Plural: "reservations", Title: T("预约", "Reservation"), Help: T("等一册已借出的书；到馆后保留 3 天。", "Waiting for a lent copy; kept 3 days once it is back."),
		Fields: []kind.Field{kind.Link("copy", "馆藏", "Copy"), kind.Link("reader", "读者", "Reader")},
		Search: []kind.Param{kind.ByLink("copy"), kind.ByLink("reader")},
		Access: []kind.Grant{librarian},
		View:   kind.View{Columns: []string{"copy", "reader", "state", "createdAt"}, Filters: []string{"_state", "reader"}, Menu: "library", Icon: "AlarmClock", Order: 4},
		Lifecycle: &kind.Lifecycle{Start: "waiting", States: []kind.State{
			{Name: "waiting", Title: T("等待", "Waiting"), Tone: "info"},
			{Name: "ready", Title: T("可取", "Ready"), Tone: "warn", Limit: &kind.Limit{After: "3d", Then: "expire", Who: "librarian"}},
			{Name: "ended", Title: T("结束", "Ended"), Tone: "idle", Final: true},
		}, Verbs: []kind.Verb{
			{Name: "ready", Title: T("到馆保留", "Keep ready"), From: []string{"waiting"}, To: "ready", Primary: true},
			{Name: "collect", Title: T("取书", "Collect"), From: []string{"waiting", "ready"}, To: "ended"},
			{Name: "expire", Title: T("过期", "Expire"), From: []string{"ready"}, To: "ended", Clock: true},
			{Name: "cancel", Title: T("取消", "Cancel"), From: []string{"waiting", "ready"}, To: "ended", Evidence: reason},
		}},
	})
	r.Kind(kind.Kind{
		Name: "fine", Plural: "fines", Title: T("逾期费", "Fine"), Help: T("逾期归还应付的费用。", "What is owed for a late return."),
		Fields: []kind.Field{kind.Link("loan", "借阅", "Loan"), kind.Link("reader", "读者", "Reader"), {Name: "amount", Type: kind.Decimal, Title: T("金额", "Amount"), Unit: "CNY", Required: true, Min: "0"}},
		Search: []kind.Param{kind.ByLink("reader"), kind.ByLink("loan"), kind.ByNumber("amount")},
		Access: []kind.Grant{librarian},
		View:   kind.View{Columns: []string{"reader", "amount", "state", "updatedAt"}, Filters: []string{"_state", "reader"}, Menu: "library", Icon: "Money", Order: 5},
		Lifecycle: &kind.Lifecycle{Start: "due", States: []kind.State{{Name: "due", Title: T("未付", "Due"), Tone: "warn"}, {Name: "paid", Title: T("已付", "Paid"), Tone: "good"}, {Name: "waived", Title: T("免除", "Waived"), Tone: "idle", Final: true}}, Verbs: []kind.Verb{
			{Name: "pay", Title: T("付款", "Pay"), From: []string{"due"}, To: "paid", Primary: true, Undo: "refund"},
			{Name: "refund", Title: T("退款", "Refund"), From: []string{"paid"}, To: "due", Evidence: reason},
			{Name: "waive", Title: T("免除", "Waive"), From: []string{"due"}, To: "waived", Evidence: reason},
		}},
	})
	r.Loop(loop.Loop{
		Name: "library-desk", Title: T("归还后：记逾期费、通知下一位预约者；取走后结束预约", "After a return: note the fine and keep the copy for the next reader; after a loan: end the reservation"),
		Watch: []loop.Watch{{Kind: "loan"}}, Look: look,
	})
	return nil
}

var reason = []kind.Evidence{{Name: "reason", Title: T("原因", "Reason"), Required: true}}

func look(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	r, there, err := h.Read(ctx, key)
	var loan struct{ Copy, Reader, Fine string }
	if err != nil || !there || json.Unmarshal(r.Data, &loan) != nil {
		return 0, err
	}
	query, verb := "copy="+loan.Copy+"&_state=waiting", "ready" // the copy is back: the first who waits
	switch r.State {
	case "out": // lent: whoever reserved it has it now
		query, verb = "copy="+loan.Copy+"&reader="+loan.Reader+"&_state=waiting,ready", "collect"
	case "returned":
		if loan.Fine != "" && loan.Fine != "0.00" {
			fine := map[string]string{"loan": key.String(), "reader": loan.Reader, "amount": loan.Fine}
			if err := h.Ensure(ctx, record.Key{Kind: "fine", ID: loop.DerivedID("fine", key.ID)}, fine); err != nil {
				return 0, err
			}
		}
		if held, err := h.First(ctx, "reservation", "copy="+loan.Copy+"&_state=ready", search.ParamCreated); err != nil || held != nil {
			return 0, err
		}
	default:
		return 0, nil
	}
	next, err := h.First(ctx, "reservation", query, search.ParamCreated)
	if err != nil || next == nil {
		return 0, err
	}
	return 0, h.Say(ctx, *next, verb, nil)
}
