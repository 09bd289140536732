// Package move copies a store to another engine.
package move
