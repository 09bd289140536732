// Package clouds holds doubles of cloud services, for tests, benchmarks and the
// lab: HTTP handlers that give credentials and take them, as far as Longcase's
// providers need it. They are no clouds: they keep everything in memory, know one
// account each, and guard nothing.
//
// What they judge, they judge as the real ones do: signatures are computed again,
// JWTs verified, windows, clocks and session tokens looked at, and refusals have
// the status, the code and the shape of the real answer. Time is a func, so that
// a cloud may have a clock of its own, real or virtual.
//
//	cloud := clouds.NewAWS(clouds.AWSConfig{Now: time.Now})
//	server := httptest.NewServer(cloud)
//
// Nothing in here starts a goroutine, reads a clock of its own or opens a socket.
package clouds
