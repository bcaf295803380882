package main

import "context"

func pages(ctx context.Context, b *bench, s string) error   { return nil }
func healing(ctx context.Context, b *bench, s string) error { return nil }
