// A client whose token is bound to its key (RFC 9449), as oauth4webapi and
// openid-client make it: oidc-provider gives the token, the gate asks for a
// nonce and takes each proof once.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { step, task } from './common.mjs'

const loopback = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(task.issuer)
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, loopback))
const client = { client_id: task.service.id }
const url = new URL(task.url)

// again repeats work once where the other side asks for a nonce.
async function again(work) {
  let asked = false
  try {
    return { asked, value: await work() }
  } catch (err) {
    if (!oauth.isDPoPNonceError(err)) throw err
    asked = true
    return { asked, value: await work() }
  }
}

async function boundToken(DPoP) {
  const parameters = new URLSearchParams({ resource: task.audience, scope: task.scope })
  const { value } = await again(async () => {
    const response = await oauth.clientCredentialsGrantRequest(
      as, client, oauth.ClientSecretBasic(task.service.secret), parameters, { DPoP, ...loopback })
    return oauth.processClientCredentialsResponse(as, client, response)
  })
  assert.equal(value.token_type, 'dpop')
  return value.access_token
}

// call calls the gate and keeps what was sent.
let last
async function call(token, DPoP) {
  const customFetch = (to, init) => {
    last = init.headers
    return fetch(to, init)
  }
  return again(async () => {
    const response = await oauth.protectedResourceRequest(
      token, 'GET', url, undefined, undefined, { DPoP, ...loopback, [oauth.customFetch]: customFetch })
    assert.equal(response.status, 200)
    return response.text()
  })
}

async function refusal(headers) {
  const response = await fetch(url, { headers })
  assert.equal(response.status, 401)
  assert.match(response.headers.get('www-authenticate'), /^DPoP /)
  return { ...(await response.json()), challenge: response.headers.get('www-authenticate') }
}

// The name EdDSA is what issuers list; Web Crypto's own is Ed25519.
const remap = { [oauth.modifyAssertion]: (header) => { if (header.alg === 'Ed25519') header.alg = 'EdDSA' } }

for (const alg of task.algorithms) {
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(alg), remap)
  const token = await boundToken(DPoP)
  const first = await call(token, DPoP)
  assert.ok(first.asked, 'the gate asks for a nonce')
  const second = await call(token, DPoP)
  assert.ok(!second.asked, 'and the client has it from then on')
  step(`a bound token, ${alg}`, token)

  const replayed = await refusal(last)
  assert.equal(replayed.reason, 'replayed')
  assert.match(replayed.challenge, /error="invalid_dpop_proof"/)
  step(`a proof is used once, ${alg}`)
}

const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
const token = await boundToken(DPoP)
assert.equal((await refusal({ authorization: `Bearer ${token}` })).reason, 'binding_missing')
assert.equal((await refusal({ authorization: `DPoP ${token}` })).reason, 'binding_missing')
step('without a proof', token)

const stranger = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
const stolen = await call(token, stranger).catch((err) => err)
assert.equal(stolen.cause[0].scheme, 'dpop')
assert.equal(stolen.cause[0].parameters.error, 'invalid_token')
assert.equal((await stolen.response.json()).reason, 'binding_mismatch')
step('with another key')

// 400 s are more than a nonce is old, so what the nonce proves is certain.
const keys = await oauth.generateKeyPair('ES256')
const late = oauth.DPoP({ ...client, [oauth.clockSkew]: -400 }, keys)
const behind = await call(await boundToken(oauth.DPoP(client, keys)), late).catch((err) => err)
assert.match((await behind.response.json()).detail, /client's clock is at least \d{3}(\.\d)? s behind/)
step("a client's clock that is behind is named")

const config = await openid.discovery(issuer, task.service.id, undefined, openid.ClientSecretBasic(task.service.secret), {
  algorithm: 'oauth2', execute: [openid.allowInsecureRequests],
})
const handle = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'))
const granted = await openid.clientCredentialsGrant(config, { resource: task.audience, scope: task.scope }, { DPoP: handle })
const response = await openid.fetchProtectedResource(config, granted.access_token, url, 'GET', undefined, undefined, { DPoP: handle })
assert.equal(response.status, 200)
step('openid-client', granted.access_token)
