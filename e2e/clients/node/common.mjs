// What every client script shares: the task on stdin, steps on stdout, and a
// browser that signs in.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

// task is what the Go test hands over: URLs, client ids, secrets and keys.
export const task = JSON.parse(readFileSync(0, 'utf8'))

// step says that a step held, and which tokens it saw: the test looks for them
// in the server's log.
export function step(name, ...tokens) {
  console.log(JSON.stringify({ step: name, tokens: tokens.filter(Boolean) }))
}

// refuses asserts that work fails with the OAuth error code.
export async function refuses(code, work) {
  try {
    await work()
  } catch (err) {
    const answer = err.response?.bodyUsed === false ? await err.response.json() : err
    assert.equal(answer.error, code, `${err}`)
    return
  }
  assert.fail(`not refused with ${code}`)
}

export function claims(jwt) {
  return JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'))
}

// signIn walks from the authorization URL through the login form and returns
// the URL at which the client is called back.
export async function signIn(start) {
  const jar = new Map()
  let response = await visit(jar, start)
  for (let hops = 0; hops < 10; hops++) {
    const location = response.headers.get('location')
    if (location) {
      const next = new URL(location, response.url)
      if (next.href.startsWith(task.redirect_uri)) return next
      response = await visit(jar, next)
      continue
    }
    assert.equal(response.status, 200, `${response.url} says ${response.status}`)
    response = await submit(jar, response.url, await response.text())
  }
  assert.fail('the login never came back to the client')
}

async function submit(jar, page, html) {
  const form = html.match(/<form[^>]*>/i)?.[0]
  assert.ok(form, `no form on ${page}`)
  const fields = new URLSearchParams()
  for (const [input] of html.matchAll(/<input[^>]*>/gi)) {
    const name = attribute(input, 'name')
    if (name) fields.set(name, attribute(input, 'value') ?? '')
  }
  assert.ok(fields.has('username') && fields.has('password'), 'the form asks for username and password')
  fields.set('username', task.username)
  fields.set('password', task.password)
  const action = new URL(attribute(form, 'action') || page, page)
  return visit(jar, action, { method: 'POST', body: fields, headers: { origin: action.origin } })
}

function attribute(tag, name) {
  const value = tag.match(new RegExp(`\\s${name}="([^"]*)"`, 'i'))?.[1]
  return value
    ?.replaceAll('&#34;', '"').replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&#43;', '+')
    .replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
}

async function visit(jar, url, init = {}) {
  const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
  const response = await fetch(url, {
    ...init, redirect: 'manual', headers: { ...init.headers, ...(cookie && { cookie }) },
  })
  for (const line of response.headers.getSetCookie()) {
    const [, name, value] = line.match(/^([^=]+)=([^;]*)/)
    jar.set(name, value)
  }
  return response
}
