// Incident 2's user service: whoever signs in gets a JWT with HS256, typ JWT, a
// life of a day, no jti, and the user in aud. nbf is the instant it was made, by
// this machine's clock.
//
//   stdin:  {"issuer": …, "secret": …}
//   stdout: {"listening": URL}; then GET URL/login?user=alice answers with the token
import { createServer } from 'node:http'
import { SignJWT } from 'jose'
import { task } from './common.mjs'

const key = new TextEncoder().encode(task.secret)

function token(user) {
  const now = Math.floor(Date.now() / 1000)
  return new SignJWT({ sub: 'access' })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer(task.issuer).setAudience(user).setIssuedAt(now).setNotBefore(now).setExpirationTime(now + 24 * 3600)
    .sign(key)
}

const server = createServer(async (request, response) => {
  response.end(await token(new URL(request.url, 'http://localhost').searchParams.get('user')))
})
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ listening: `http://127.0.0.1:${server.address().port}` }))
})
