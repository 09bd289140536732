// Package histories records what concurrent clients of an engine were told,
// while servers are killed and paused and connections cut, and has Porcupine
// judge whether one order of the operations explains all of it (linearizability).
// It does so at two levels: the calls of package store against sequential
// models, one per kind of record, and the refresh protocol of real issuers.
//
// It holds tests only. The controls, engines and issuers that are broken on
// purpose, must be caught.
//
// A failing history prints the seed of its run and the least part of itself that
// is still wrong; with -artifacts, Porcupine's drawing of it is kept.
// LONGCASE_SEED repeats the same choices, though not the same scheduling.
package histories
