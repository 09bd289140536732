package gate

// Rates bound how often one client or one address may ask. Zero: no bound.
type Rates struct {
	Client  float64 // requests per second of one client_id, with bursts of a second's worth
	Address float64 // requests per second of one address
}
