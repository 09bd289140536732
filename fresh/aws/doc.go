// Package aws gets credentials of Amazon Web Services for package fresh: the
// session token of a machine's metadata service (IMDSv2), the keys of its role,
// of a container, of a profile file, and of a role taken with keys or with a JWT
// of someone else (STS).
//
//	session := fresh.New(aws.SessionToken(aws.IMDS{}), fresh.Policy{Name: "imds"})
//	role := fresh.From(session, aws.InstanceRole(aws.IMDS{}), fresh.Policy{Name: "role"})
//	cfg.Credentials = aws.Provider(role)
//	cfg.Retryer = func() sdk.Retryer { return aws.Retryer(role, retry.NewStandard()) }
//
// Nothing here repeats a request: who is to blame is said with fresh.Blame, and
// the layer does the rest. IMDSv1, which asks for no session token, is not spoken.
//
// Sources: "Use the Instance Metadata Service" of the Amazon EC2 User Guide,
// "Container credential provider" and "Process credential provider" of the AWS
// SDKs and Tools Reference Guide, and the AWS STS API Reference.
package aws
