// The issuer as oauth4webapi sees it: RFC 8414 discovery and a public client.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { importJWK } from 'jose'
import { refuses, signIn, step, task } from './common.mjs'

const loopback = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(task.issuer)

const discovery = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...loopback })
const as = await oauth.processDiscoveryResponse(issuer, discovery)
assert.ok(as.code_challenge_methods_supported.includes('S256'))
assert.ok(!as.code_challenge_methods_supported.includes('plain'))
step('discovery')

async function clientCredentials(name, id, authentication) {
  const client = { client_id: id }
  const parameters = new URLSearchParams({ audience: task.audience, scope: task.scope })
  const response = await oauth.clientCredentialsGrantRequest(as, client, authentication, parameters, loopback)
  assert.match(response.headers.get('cache-control'), /no-store/)
  const answer = await oauth.processClientCredentialsResponse(as, client, response)
  const request = new Request('http://127.0.0.1/', { headers: { authorization: `Bearer ${answer.access_token}` } })
  const verified = await oauth.validateJwtAccessToken(as, request, task.audience, loopback)
  assert.equal(verified.client_id, id)
  assert.equal(verified.scope, task.scope)
  step(name, answer.access_token)
}

const { id, secret } = task.service
await clientCredentials('client credentials by secret in the header', id, oauth.ClientSecretBasic(secret))
await clientCredentials('client credentials by secret in the form', id, oauth.ClientSecretPost(secret))
const key = await importJWK(task.keyed.jwk, 'ES256')
await clientCredentials('client credentials by private key', task.keyed.id, oauth.PrivateKeyJwt({ key, kid: task.keyed.jwk.kid }))

const client = { client_id: task.public.id }
const none = oauth.None()
const verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const nonce = oauth.generateRandomNonce()
const start = new URL(as.authorization_endpoint)
start.search = new URLSearchParams({
  client_id: client.client_id,
  redirect_uri: task.redirect_uri,
  response_type: 'code',
  resource: task.audience,
  scope: `openid ${task.scope}`,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  state,
  nonce,
})
const answer = oauth.validateAuthResponse(as, client, await signIn(start), state)
const exchange = (v) => oauth.authorizationCodeGrantRequest(as, client, none, answer, task.redirect_uri, v, loopback)
const first = await oauth.processAuthorizationCodeResponse(as, client, await exchange(verifier), {
  expectedNonce: nonce, requireIdToken: true,
})
step('code with PKCE', first.access_token, first.refresh_token, first.id_token, verifier)

const refresh = async (token) =>
  oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, none, token, loopback))
const second = await refresh(first.refresh_token)
assert.notEqual(second.refresh_token, first.refresh_token)
step('refresh with rotation', second.access_token, second.refresh_token)

const repeated = await refresh(first.refresh_token)
assert.equal(repeated.refresh_token, second.refresh_token)
step('a lost response may be repeated', repeated.access_token)

const third = await refresh(second.refresh_token)
await refuses('invalid_grant', () => refresh(first.refresh_token))
await refuses('invalid_grant', () => refresh(third.refresh_token))
step('reuse ends the session', third.access_token, third.refresh_token)

await refuses('invalid_grant', async () =>
  oauth.processAuthorizationCodeResponse(as, client, await exchange(verifier)))
step('a code is used once')

const gate = { client_id: task.service.id }
const basic = oauth.ClientSecretBasic(secret)
const introspection = await oauth.introspectionRequest(as, gate, basic, first.access_token, loopback)
assert.deepEqual(await oauth.processIntrospectionResponse(as, gate, introspection), { active: false })
step('introspection')

await oauth.processRevocationResponse(await oauth.revocationRequest(as, gate, basic, 'no-such-token', loopback))
step('revocation of what is not there succeeds')
