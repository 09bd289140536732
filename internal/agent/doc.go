// Package agent publishes fresh credentials where unmodified programs look for
// them: as the metadata services of AWS, Google and Azure, as container
// credentials, and as files.
//
//	a, err := agent.New(agent.Config{Dir: data, Publish: []agent.Publication{
//		{Form: agent.IMDS, Name: "s3", Listen: "127.0.0.1:4620", Keys: s3, Region: "eu-west-1"},
//	}})
//	err = a.Prepare()                         // secrets that clients read from files
//	agent.Bound(server)                       // who asks, and limits
//	server.Handler = a.Handler("127.0.0.1:4620")
//	go a.Run(ctx)                             // files
//
// It knows no provider: a credential is a func that returns a live one. None is
// handed out that has ended, and no answer may be cached.
//
// Who may ask is decided before what is asked. A listener is loopback, a Unix
// socket, or the link-local address of a metadata service, taken as an alias of
// this machine. Each connection's peer is identified by its uid (package peer
// says what that means with containers and forwarders), and only the agent's
// own uid, root and allow_uid are served. A request must name the listener in
// Host, since a page in a browser can have its own name resolved to 127.0.0.1,
// must not come from a page (Origin, Sec-Fetch-Site), and must not have been
// forwarded.
//
// On disk stands nothing secret but what is published: the files of the form
// File, and the secrets that clients of a form read (Publication.TokenFile).
package agent
