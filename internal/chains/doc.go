// Package chains makes layers of what a configuration names: each credential
// with the provider of its kind, on the layer it is got from. It is the only
// importer of the providers.
package chains
