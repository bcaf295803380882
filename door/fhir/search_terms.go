package fhir

import (
	"context"
	"strconv"

	"zhiwei/domain/terminology"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/search"
)

// maxTerms is the most codes that :in, :not-in, :above and :below stand for;
// what stands for more is refused, never cut short.
const maxTerms = 10_000

// terms answers :in, :not-in, :above and :below as the principal may see the
// terminology.
type terms struct {
	ctx     context.Context
	p       *identity.Principal
	service *terminology.Service
}

var _ search.Terms = terms{}

// In implements search.Terms.
func (t terms) In(valueSet string) ([]search.Value, error) {
	list, more, err := t.service.Codes(t.ctx, t.p, valueSet, maxTerms)
	if errs.Is(err, errs.NotFound) {
		return nil, badParameter(valueSet, "没有值集 "+valueSet+"；请核对 URL，或先上传 ValueSet 资源。", "There is no value set "+valueSet+"; check its URL, or upload the ValueSet first.")
	}
	if err != nil {
		return nil, err
	}
	if more {
		return nil, badParameter(valueSet, "值集 "+valueSet+" 无法完整展开（超过 "+strconv.Itoa(maxTerms)+" 个代码或缺少代码系统），不能用于查询。", "The value set "+valueSet+" cannot be expanded whole (more than "+strconv.Itoa(maxTerms)+" codes, or a code system is missing), so it cannot be searched by.")
	}
	out := make([]search.Value, 0, len(list))
	for _, c := range list {
		out = append(out, search.Value{System: c.System, Code: c.Code})
	}
	return out, nil
}

// Below implements search.Terms.
func (t terms) Below(system, code string) ([]search.Value, error) {
	list, err := t.service.Below(t.ctx, t.p, system, code, maxTerms+1)
	return codesOf(system, code, list, err)
}

// Above implements search.Terms.
func (t terms) Above(system, code string) ([]search.Value, error) {
	list, err := t.service.Above(t.ctx, t.p, system, code, maxTerms+1)
	return codesOf(system, code, list, err)
}

func codesOf(system, code string, list []string, err error) ([]search.Value, error) {
	if err != nil {
		return nil, err
	}
	if len(list) > maxTerms {
		return nil, badParameter(code, code+" 之下超过 "+strconv.Itoa(maxTerms)+" 个代码，请写明更窄的代码。", code+" stands for more than "+strconv.Itoa(maxTerms)+" codes; ask for a narrower one.")
	}
	out := make([]search.Value, len(list))
	for i, c := range list {
		out[i] = search.Value{System: system, Code: c}
	}
	return out, nil
}
