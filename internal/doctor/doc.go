// Package doctor says what is wrong with a running system, and what repairs it.
package doctor
