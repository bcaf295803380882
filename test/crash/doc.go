// Package crash proves that what was acknowledged lasts: processes are killed
// at random moments, a disk loses power, runs full and flips bits, and after
// each the store is opened again and read whole. There is nothing here to import;
// the proofs are its tests. `make crash` runs them long, `go test` a slice:
// ZHIWEI_KILLS says how many kills a store gets, ZHIWEI_SEED replays a run.
package crash
