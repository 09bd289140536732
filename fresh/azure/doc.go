// Package azure gets Azure access tokens: from an instance's metadata service
// (IMDS), from App Service, and from Microsoft Entra for a federated JWT
// (workload identity). Credential hands them to the Azure SDK.
//
//	pod := fresh.New(file.JWT(file.JWTConfig{Path: os.Getenv("AZURE_FEDERATED_TOKEN_FILE")}), fresh.Policy{Name: "pod"})
//	vault := fresh.From(pod, azure.WorkloadIdentity(azure.WorkloadConfig{
//		Tenant: tenant, ClientID: client, Scope: "https://vault.azure.net/.default",
//	}), fresh.Policy{Name: "vault"})
//	client, err := azsecrets.NewClient(url, azure.Credential(vault), nil)
//
// A token that Entra refuses because of the JWT blames the JWT's layer: the file
// is read anew and the call repeated once.
//
// Sources: learn.microsoft.com, "How to use managed identities on a virtual
// machine to acquire an access token", "How to use managed identities for App
// Service", "OAuth 2.0 client credentials flow", "Microsoft Entra authentication
// and authorization error codes".
package azure
