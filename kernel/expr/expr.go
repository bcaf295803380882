// Package expr evaluates the expressions of declarations: CEL over one record,
// who acts and when. Expressions are data, so applications from outside use
// exactly what built-in ones use; they have no effects and their cost is
// bounded.
package expr

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"
	"github.com/google/cel-go/parser"

	"zhiwei/kernel/errs"
)

// maxCost bounds one evaluation, in CEL cost units; a guard over a list of a
// thousand elements stays below, and the limit is reached in a tenth of a second.
const maxCost = 20_000

// Scope is what an expression may look at.
type Scope struct {
	Data     map[string]any // the record's data as it would be after the change
	Old      map[string]any // before the change; nil at create
	State    string         // before the change
	ID       string
	Evidence map[string]any
	Actor    map[string]any // id, name, roles, depts, orgs
	Now      time.Time
	Entered  time.Time // when the state was entered
	Reader   Reader    // nil: record and count see nothing
}

// Reader looks at other records in the same transaction.
type Reader interface {
	// Record returns {id, kind, state, version, data} of "Kind/id", or nil.
	Record(ref string) (map[string]any, error)
	// Count gives how many live records of the kind match "param=value&…".
	Count(kind, query string) (int64, error)
}

// Program is a compiled expression.
type Program struct {
	src  string
	prog cel.Program
}

// txType carries the Reader through CEL as an opaque value: functions of CEL
// see only their arguments, so record(x) is rewritten to record(tx, x).
var txType = cel.OpaqueType("zhiwei.tx")

type txVal struct{ r Reader }

func (t txVal) ConvertToNative(reflect.Type) (any, error) { return t.r, nil }
func (t txVal) ConvertToType(ref.Type) ref.Val            { return types.NewErr("not convertible") }
func (t txVal) Equal(ref.Val) ref.Val                     { return types.False }
func (t txVal) Type() ref.Type                            { return txType }
func (t txVal) Value() any                                { return t.r }

const txVar = "__tx__"

var environment = sync.OnceValues(func() (*cel.Env, error) {
	withTx := func(name string, args int) parser.Macro {
		return parser.NewGlobalMacro(name, args, func(eh parser.ExprHelper, _ ast.Expr, a []ast.Expr) (ast.Expr, *common.Error) {
			return eh.NewCall("zw_"+name, append([]ast.Expr{eh.NewIdent(txVar)}, a...)...), nil
		})
	}
	str2 := func(name string, f func(a, b string) ref.Val, out *cel.Type) cel.EnvOption {
		return cel.Function(name, cel.Overload(name+"_ss", []*cel.Type{cel.StringType, cel.StringType}, out,
			cel.BinaryBinding(func(a, b ref.Val) ref.Val { return f(string(a.(types.String)), string(b.(types.String))) })))
	}
	return cel.NewEnv(
		cel.Variable("data", cel.DynType), cel.Variable("old", cel.DynType),
		cel.Variable("state", cel.StringType), cel.Variable("id", cel.StringType),
		cel.Variable("evidence", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("actor", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("now", cel.TimestampType), cel.Variable("entered", cel.TimestampType),
		cel.Variable(txVar, txType),
		cel.Macros(append(append([]cel.Macro{}, cel.StandardMacros...), withTx("record", 1), withTx("count", 2))...),
		ext.Strings(),
		cel.Function("zw_record", cel.Overload("zw_record_s", []*cel.Type{txType, cel.DynType}, cel.DynType,
			cel.BinaryBinding(func(t, r ref.Val) ref.Val {
				s, ok := r.(types.String)
				tx := t.(txVal).r
				if !ok || tx == nil {
					return types.NullValue
				}
				m, err := tx.Record(string(s))
				if err != nil {
					return types.WrapErr(err)
				}
				if m == nil {
					return types.NullValue
				}
				return types.DefaultTypeAdapter.NativeToValue(m)
			}))),
		cel.Function("zw_count", cel.Overload("zw_count_ss", []*cel.Type{txType, cel.StringType, cel.StringType}, cel.IntType,
			cel.FunctionBinding(func(a ...ref.Val) ref.Val {
				tx := a[0].(txVal).r
				if tx == nil {
					return types.IntZero
				}
				n, err := tx.Count(string(a[1].(types.String)), string(a[2].(types.String)))
				if err != nil {
					return types.WrapErr(err)
				}
				return types.Int(n)
			}))),
		// Decimals stay strings: money and doses are never floats.
		str2("plus", func(a, b string) ref.Val { return decimals(a, b, apd.BaseContext.WithPrecision(34).Add) }, cel.StringType),
		str2("minus", func(a, b string) ref.Val { return decimals(a, b, apd.BaseContext.WithPrecision(34).Sub) }, cel.StringType),
		str2("compare", func(a, b string) ref.Val {
			x, err1 := decimal(a)
			y, err2 := decimal(b)
			if err1 != nil || err2 != nil {
				return types.NewErr("compare: %q and %q must be decimals", a, b)
			}
			return types.Int(x.Cmp(y))
		}, cel.IntType),
		cel.Function("times", cel.Overload("times_si", []*cel.Type{cel.StringType, cel.IntType}, cel.StringType,
			cel.BinaryBinding(func(a, b ref.Val) ref.Val {
				return decimals(string(a.(types.String)), fmt.Sprint(int64(b.(types.Int))), apd.BaseContext.WithPrecision(34).Mul)
			}))),
		cel.Function("days", cel.Overload("days_tt", []*cel.Type{cel.TimestampType, cel.TimestampType}, cel.IntType,
			cel.BinaryBinding(func(a, b ref.Val) ref.Val {
				d := b.(types.Timestamp).Sub(a.(types.Timestamp).Time)
				n := int64(d / (24 * time.Hour))
				if d > 0 && d%(24*time.Hour) != 0 {
					n++ // a day begun counts
				}
				return types.Int(n)
			}))),
	)
})

func decimal(s string) (*apd.Decimal, error) {
	d, _, err := apd.NewFromString(s)
	if err == nil && d.Form != apd.Finite {
		return nil, fmt.Errorf("not a number: %q", s)
	}
	return d, err
}

func decimals(a, b string, op func(d, x, y *apd.Decimal) (apd.Condition, error)) ref.Val {
	x, err1 := decimal(a)
	y, err2 := decimal(b)
	if err1 != nil || err2 != nil {
		return types.NewErr("%q and %q must be decimals", a, b)
	}
	var d apd.Decimal
	if _, err := op(&d, x, y); err != nil {
		return types.WrapErr(err)
	}
	return types.String(d.Text('f'))
}

var cache sync.Map // source → *Program

// Compile checks an expression. It fails with Invalid and what is wrong where.
func Compile(src string) (*Program, error) {
	if p, ok := cache.Load(src); ok {
		return p.(*Program), nil
	}
	env, err := environment()
	if err != nil {
		return nil, errs.Wrap("expression", src, err)
	}
	tree, issues := env.Compile(src)
	if issues != nil && issues.Err() != nil {
		return nil, errs.E(errs.Invalid, "expression", src, "表达式有误："+issues.Err().Error(), "The expression is wrong: "+issues.Err().Error())
	}
	prog, err := env.Program(tree, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, errs.E(errs.Invalid, "expression", src, "表达式有误："+err.Error(), "The expression is wrong: "+err.Error())
	}
	p := &Program{src, prog}
	cache.Store(src, p)
	return p, nil
}

// Value evaluates the expression to plain Go values: string, bool, int64,
// float64, time.Time, []any, map[string]any or nil.
func (p *Program) Value(s Scope) (any, error) {
	null := func(m map[string]any) any {
		if m == nil {
			return types.NullValue
		}
		return plain(m)
	}
	evidence := s.Evidence
	if evidence == nil {
		evidence = map[string]any{}
	}
	out, _, err := p.prog.Eval(map[string]any{
		"data": null(s.Data), "old": null(s.Old), "state": s.State, "id": s.ID,
		"evidence": plain(evidence), "actor": s.Actor, "now": s.Now, "entered": s.Entered, txVar: txVal{s.Reader},
	})
	if err != nil {
		// A field that is not there is a guard that does not hold, said with the
		// expression: authors write has(data.x) where absence is fine.
		return nil, errs.E(errs.Invalid, "expression", p.src, "条件无法计算："+err.Error(), "The condition could not be computed: "+err.Error()).Because(err)
	}
	return native(out), nil
}

// True evaluates a condition.
func (p *Program) True(s Scope) (bool, error) {
	v, err := p.Value(s)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, errs.E(errs.Invalid, "expression", p.src, "条件的结果不是真或假。", "The condition is neither true nor false.")
	}
	return b, nil
}

// plain turns json.Number into int64 or float64, deep.
func plain(v any) any {
	switch x := v.(type) {
	case json.Number:
		if !strings.ContainsAny(string(x), ".eE") {
			if n, err := x.Int64(); err == nil {
				return n
			}
		}
		f, _ := x.Float64()
		return f
	case map[string]any:
		m := make(map[string]any, len(x))
		for k, e := range x {
			m[k] = plain(e)
		}
		return m
	case []any:
		l := make([]any, len(x))
		for i, e := range x {
			l[i] = plain(e)
		}
		return l
	}
	return v
}

func native(v ref.Val) any {
	switch x := v.(type) {
	case types.Null:
		return nil
	case types.Timestamp:
		return x.Time
	case types.Duration:
		return x.Duration
	}
	switch x := v.Value().(type) {
	case []ref.Val:
		l := make([]any, len(x))
		for i, e := range x {
			l[i] = native(e)
		}
		return l
	case map[ref.Val]ref.Val:
		m := make(map[string]any, len(x))
		for k, e := range x {
			m[fmt.Sprint(k.Value())] = native(e)
		}
		return m
	default:
		return x
	}
}
