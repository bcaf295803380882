// Package data measures: it samples drives into the series store and makes
// checks. It does not say what a value means and repairs nothing.
package data
