// The issuer's tokens as jose verifies them through the key set it publishes.
import assert from 'node:assert/strict'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { step, task } from './common.mjs'

const metadata = await (await fetch(`${task.issuer}/.well-known/oauth-authorization-server`)).json()
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri))
const rules = { issuer: task.issuer, audience: task.audience, typ: 'at+jwt', requiredClaims: ['client_id', 'iat', 'jti', 'sub'] }

const { payload } = await jwtVerify(task.access_token, keys, rules)
assert.equal(payload.client_id, task.service.id)
step('an access token is verified')

const [header, body, signature] = task.access_token.split('.')
const flipped = (signature[10] === 'A' ? 'B' : 'A')
const forged = [header, body, signature.slice(0, 10) + flipped + signature.slice(11)].join('.')
await assert.rejects(jwtVerify(forged, keys, rules), { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' })
step('a forged one is not')
