// Package storetest is what a store must pass: one conformance suite (Run), one
// for two stores over one database (RunShared), a deliberately naive store in
// memory that judges answers (Model), a verifier for what is left after a crash
// (Verify), and a real PostgreSQL for the adapter that needs one (Postgres).
// It refuses to know any adapter: it sees kernel/store.Store and nothing else.
//
// Every random test prints its seed; ZHIWEI_SEED replays it.
package storetest
