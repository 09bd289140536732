// Package gateway measures what the check of a token costs a gateway (goals V3
// and V6's neighbours in DESIGN 7): processor time per request, beside a bare
// Go httputil.ReverseProxy in the same run, of everything that people put before
// a service.
//
// Each gateway is a process of its own with one worker (GOMAXPROCS=1 for Go,
// one worker or thread for the others), all are up at once, and they take turns
// in short rounds, so that whatever else the machine does falls on all of them
// alike; a figure is the median over the rounds. Cost is the process's own
// processor time, kernel included, read from its clock (clock_gettime(2) of the
// process) before and after a round; where a gateway asks a second process about
// each token, that one's time is shown beside it and added. The load and the
// upstream are processes of their own and are not counted.
//
// Tokens are ES256, or RS256 if asked for, and about 600 bytes or more. "cached" sends fifty tokens in turn,
// "uncached" another one with each request, never one twice.
package gateway
