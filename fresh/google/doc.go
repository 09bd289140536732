// Package google fetches Google's tokens: federated ones for other clouds'
// evidence (workload identity federation), those of service accounts, by
// impersonation, by key and from the metadata server, and every chain that an
// external_account file describes.
//
//	role := fresh.From(imds, aws.InstanceRole(aws.IMDS{}), fresh.Policy{Name: "role"})
//	google := fresh.From(role, google.ExchangeAWS(cfg, keys), fresh.Policy{Name: "google"})
//	mail := fresh.From(google, google.Impersonate(as), fresh.Policy{Name: "mail"})
//
// Each fetch makes one attempt. It blames the lease it was given where Google
// says that this is at fault; it never repeats anything itself.
//
// It is not a client of Google's services and finds no credentials by itself
// (Application Default Credentials): what is to be used is named.
//
// Sources: RFC 8693, RFC 7523, Google's reference of Security Token Service v1
// and IAM Service Account Credentials v1, AIP-4110 to AIP-4117.
package google
