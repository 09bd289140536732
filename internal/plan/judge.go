package plan

import (
	"fmt"
	"strings"
	"time"
)

// Job is what a chain serves.
type Job struct {
	Length time.Duration // 0: no job, or one without an end
	Once   bool          // it takes the credential once, at its beginning, and never asks again
}

// Finding is what is wrong with a chain, or worth knowing.
type Finding struct {
	Fails  bool   `json:"fails"` // the job outlives the chain
	Link   string `json:"link"`
	Says   string `json:"says"`
	Remedy string `json:"remedy"`
}

// Judge holds a chain against a job.
func (c Chain) Judge(job Job) []Finding {
	switch {
	case job.Once && job.Length > 0:
		return c.copied(job.Length)
	case c.Reach.Forever:
		return []Finding{}
	}
	return []Finding{c.ends(job.Length)}
}

// ends tells of the link that nobody here can renew.
func (c Chain) ends(length time.Duration) Finding {
	l, least := c.culprit(), c.Reach.Least
	f := Finding{Link: l.Name, Remedy: c.remedy(l, length)}
	switch {
	case !c.Reach.Known:
		f.Says = fmt.Sprintf("the service of %s decides when its session ends, and longcase cannot begin another", name(l))
	case length > least:
		f.Fails = true
		f.Says = fmt.Sprintf("lasts %s, and the job %s: %s ends after %s, and longcase cannot renew it", say(least), say(length), name(l), say(l.Reach.Least))
	default:
		f.Says = fmt.Sprintf("lasts %s: %s ends after %s, and longcase cannot renew it", say(least), name(l), say(l.Reach.Least))
	}
	if least > l.Reach.Least && c.Reach.Known {
		f.Says += "; after that a refused credential cannot be healed"
	}
	return f
}

// copied judges a job that holds one copy: what it takes may be about to be
// renewed (external-secrets#6690).
func (c Chain) copied(length time.Duration) []Finding {
	top := c.Links[0]
	shortest, known := c.Shortest()
	switch {
	case !known || top.Life == 0:
		return []Finding{{Link: top.Name, Says: "how long one copy lives is not known here: " + top.From, Remedy: "have the job ask again, by the agent's endpoint or a file that it reads anew"}}
	case length > top.Life:
		return []Finding{{Fails: true, Link: shortest.Name,
			Says:   fmt.Sprintf("one copy lives %s at most, and the job holds it for %s: the shortest link is %s, %s", say(top.Life), say(length), name(shortest), say(shortest.Life)),
			Remedy: c.longer(length)}}
	case length > c.Ahead:
		return []Finding{{Fails: true, Link: top.Name,
			Says:   fmt.Sprintf("a copy lives from %s to %s, by when it is taken, and the job holds it for %s", say(c.Ahead), say(top.Life), say(length)),
			Remedy: fmt.Sprintf("refresh: {ahead: %s} renews it that early; or have the job ask again", say(length))}}
	}
	return []Finding{}
}

// longer is how a copy could live for length.
func (c Chain) longer(length time.Duration) string {
	if key := c.longest(length); key != "" {
		return key
	}
	return "have the job ask again before the copy ends: every " + say(c.Links[0].Life/2) + ", by the agent's endpoint or a file that it reads anew"
}

// remedy is what keeps a chain going for a job of this length; 0: for ever.
func (c Chain) remedy(culprit Link, length time.Duration) string {
	if culprit.path == "" {
		return "a person signs in again before then; or use a kind that needs nobody: oauth2"
	}
	rewrite := fmt.Sprintf("have %s written anew before each %s is over, and say so with --renewed %s", culprit.path, say(culprit.Life), culprit.Name)
	if key := c.longest(length); key != "" && length > 0 {
		return rewrite + "; or " + key
	}
	return rewrite
}

// longest is the setting that lets a chain outlive what it is got with, "" if
// there is none (google-github-actions/auth#432, #474).
func (c Chain) longest(length time.Duration) string {
	top := c.Links[0]
	chained := len(c.Links) > 1 && strings.HasPrefix(c.Links[1].Kind, "aws-") && c.Links[1].Kind != "aws-instance-role" && length > time.Hour
	switch {
	case length > 12*time.Hour:
		return ""
	case top.Kind == "google-impersonate":
		return "lifetime: " + say(length) + " (above 1h the organization policy must allow it)"
	case top.Kind == "google-sts":
		return "a google-impersonate from " + top.Name + " with lifetime: " + say(length) + ", whose tokens outlive the subject token"
	case top.Kind == "aws-web-identity", top.Kind == "aws-assume-role" && !chained:
		return "duration: " + say(max(length, 15*time.Minute)) + " (the role's MaxSessionDuration must allow it)"
	}
	return ""
}

func name(l Link) string { return fmt.Sprintf("%q (%s)", l.Name, l.Kind) }

// say writes d as the configuration would.
func say(d time.Duration) string {
	for _, u := range []struct {
		size   time.Duration
		letter string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= u.size && d%u.size == 0 {
			return fmt.Sprintf("%d%s", d/u.size, u.letter)
		}
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
