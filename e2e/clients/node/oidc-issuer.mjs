// An issuer that nobody here wrote: oidc-provider, configured by the task on
// stdin, served on loopback until the process is ended. It says {"listening":
// URL} on stdout when it is ready.
//
//   {"issuer": "http://127.0.0.1:4700",     "iss"; several instances may share one
//    "port": 4700,                          where this instance listens; 0: any
//    "keys": [JWK, …],                      private keys, the first one signs
//    "clients": [{"client_id": …, "client_secret": …}, …],
//    "resources": {"https://api.example.com": {"format": "jwt", "scope": "orders.read", "life": 300}}}
//
// "format" is jwt or opaque. Every client has client_credentials and may bind
// its tokens to a key (DPoP, RFC 9449); with "dpop_nonce" the issuer asks for a
// nonce first.
import { randomBytes } from 'node:crypto'
import Provider, { errors } from 'oidc-provider'
import { task } from './common.mjs'

// Node.js before 22 may lack it, and oidc-provider uses it.
URL.parse ??= (text, base) => {
  try {
    return new URL(text, base)
  } catch {
    return null
  }
}

function resource(_ctx, indicator) {
  const known = task.resources[indicator]
  if (!known) throw new errors.InvalidTarget()
  return {
    scope: known.scope ?? '', audience: indicator, accessTokenTTL: known.life ?? 300, accessTokenFormat: known.format,
    jwt: { sign: { alg: task.keys[0].alg } },
  }
}

const provider = new Provider(task.issuer, {
  jwks: { keys: task.keys },
  clients: task.clients.map((client) => ({
    grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
    id_token_signed_response_alg: task.keys[0].alg, ...client,
  })),
  scopes: [...new Set(Object.values(task.resources).flatMap(({ scope }) => scope?.split(' ') ?? []))],
  ttl: { ClientCredentials: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? 300 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: { enabled: true, getResourceServerInfo: resource },
    dPoP: {
      enabled: true,
      ...(task.dpop_nonce && { nonceSecret: randomBytes(32), requireNonce: () => true }),
    },
  },
})
provider.proxy = true // instances behind one iss are called by its name

const server = provider.listen(task.port, '127.0.0.1', () => {
  console.log(JSON.stringify({ listening: `http://127.0.0.1:${server.address().port}` }))
})
