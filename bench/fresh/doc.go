// Package fresh measures what keeps credentials fresh: Longcase's layers beside
// the caches that people use. The speed of a cached get is processor time over
// one reading of the clock (goal F5); the fault matrix runs everyone through the
// same faults in virtual time (goals F1 to F6).
package fresh
