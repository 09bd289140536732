// The issuer as openid-client sees it.
import assert from 'node:assert/strict'
import * as oidc from 'openid-client'
import { importJWK } from 'jose'
import { claims, refuses, signIn, step, task } from './common.mjs'

const discover = (id, authentication) =>
  oidc.discovery(new URL(task.issuer), id, {}, authentication, { execute: [oidc.allowInsecureRequests] })

const parameters = { resource: task.audience, scope: task.scope }

async function clientCredentials(name, id, authentication) {
  const config = await discover(id, authentication)
  const answer = await oidc.clientCredentialsGrant(config, parameters)
  assert.equal(answer.token_type, 'bearer')
  assert.equal(answer.refresh_token, undefined)
  assert.equal(claims(answer.access_token).client_id, id)
  assert.equal(claims(answer.access_token).aud, task.audience)
  step(name, answer.access_token)
}

const { id, secret } = task.service
await clientCredentials('client credentials by secret in the header', id, oidc.ClientSecretBasic(secret))
await clientCredentials('client credentials by secret in the form', id, oidc.ClientSecretPost(secret))
const key = await importJWK(task.keyed.jwk, 'ES256')
await clientCredentials('client credentials by private key', task.keyed.id, oidc.PrivateKeyJwt({ key, kid: task.keyed.jwk.kid }))

const wrong = await discover(id, oidc.ClientSecretBasic(task.web.secret))
await refuses('invalid_client', () => oidc.clientCredentialsGrant(wrong, parameters))
step('another client\'s secret is refused')

const config = await discover(task.web.id, oidc.ClientSecretBasic(task.web.secret))
const pkceCodeVerifier = oidc.randomPKCECodeVerifier()
const expectedState = oidc.randomState()
const expectedNonce = oidc.randomNonce()
const callback = await signIn(oidc.buildAuthorizationUrl(config, {
  ...parameters,
  scope: `openid ${task.scope}`,
  redirect_uri: task.redirect_uri,
  code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: 'S256',
  state: expectedState,
  nonce: expectedNonce,
}))
const checks = { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true }
const first = await oidc.authorizationCodeGrant(config, callback, checks)
assert.equal(first.claims().sub, claims(first.access_token).sub)
assert.ok(first.refresh_token)
step('code with PKCE', first.access_token, first.refresh_token, first.id_token, pkceCodeVerifier)

const second = await oidc.refreshTokenGrant(config, first.refresh_token)
assert.notEqual(second.refresh_token, first.refresh_token)
const third = await oidc.refreshTokenGrant(config, second.refresh_token)
step('refresh with rotation', second.access_token, second.refresh_token, third.access_token, third.refresh_token)

const seen = await oidc.tokenIntrospection(config, third.access_token)
assert.equal(seen.active, true)
assert.equal(seen.client_id, task.web.id)
step('introspection')

await oidc.tokenRevocation(config, third.refresh_token)
await refuses('invalid_grant', () => oidc.refreshTokenGrant(config, third.refresh_token))
assert.deepEqual(await oidc.tokenIntrospection(config, third.access_token), { active: false })
step('revocation')
