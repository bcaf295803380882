package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"zhiwei/kernel/errs"
)

func tokenCreate(ctx context.Context, e env, args []string) error {
	fs := flags(e, "token create", "zhiwei token create --data ./data --name lis --scope 'system/Patient.rs system/Observation.cruds'")
	data := fs.String("data", "", "数据目录 data folder")
	name := fs.String("name", "", "令牌名称 what the token is for")
	scope := fs.String("scope", "system/*.cruds", "SMART 范围，空格分隔 SMART scopes, separated by spaces")
	purpose := fs.String("purpose", "TREAT", "使用目的 purpose of use, kept in the audit")
	roles := fs.String("role", "", "角色，空格分隔，例如 ops；不写则只作对接 roles, separated by spaces, such as ops, by which guards let it do what people of them may; none: integration alone")
	patient := fs.String("patient", "", "patient/… 范围所指的患者，如 Patient/1 the patient that scopes patient/… are about")
	if err := parse(fs, args); err != nil {
		return err
	}
	if err := noRest(fs); err != nil {
		return err
	}
	if *name == "" {
		return usage{"请用 --name 说明令牌给谁用。 Say with --name what the token is for."}
	}
	request := map[string]any{"name": *name, "scopes": strings.Fields(*scope), "purpose": *purpose}
	if *roles != "" {
		request["roles"] = strings.Fields(*roles)
	}
	if *patient != "" {
		request["patient"] = *patient
	}
	body, err := json.Marshal(request)
	if err != nil {
		return errs.Wrap("token", *name, err)
	}
	return withHouse(ctx, e, *data, func(c client) error {
		res, err := c.do(ctx, http.MethodPost, "/api/tokens", "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		var out struct{ Token string }
		if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
			return errs.Wrap("token", *name, err)
		}
		fmt.Fprintln(e.stdout, out.Token)
		return nil
	})
}
