// Package move copies a store into another one, whatever engines the two are on,
// and compares them afterwards.
//
// The source is set read only first and stays so: a rotation after the copy
// would leave an older generation alive in the target. Each record is imported
// as it is, so a copy that was interrupted goes on where it was, or a little
// before. What is over is not copied, and ends hold: nothing is made longer.
//
// How far a copy has come stands in the target's registry, under Key, with an id
// that the source's reason for being read only names too. So a copy knows its
// own half-finished work, and refuses everybody else's: a target that holds
// anything else, and a source that took writes since the copy began.
//
// It does no I/O but through the two stores, and knows no engine.
package move
