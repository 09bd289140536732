// How verifiers of Node.js judge tokens, as they come: one line of JSON with the
// token, one line back for it from each, {"jose": "", "jsonwebtoken": "jwt not active"},
// with nothing to say of a token that is accepted.
//
//   first line of stdin: {"secret": …, "issuer": …, "leeway": seconds}
import { createInterface } from 'node:readline'
import { jwtVerify } from 'jose'
import jsonwebtoken from 'jsonwebtoken'

const verifiers = {
  jose: (token, task) => jwtVerify(token, new TextEncoder().encode(task.secret),
    { issuer: task.issuer, algorithms: ['HS256'], clockTolerance: task.leeway }),
  jsonwebtoken: async (token, task) => jsonwebtoken.verify(token, task.secret,
    { issuer: task.issuer, algorithms: ['HS256'], clockTolerance: task.leeway }),
}

async function judge(token, task) {
  const said = {}
  for (const [name, verify] of Object.entries(verifiers)) {
    said[name] = await verify(token, task).then(() => '', (err) => err.message)
  }
  return said
}

let task
for await (const line of createInterface({ input: process.stdin })) {
  const value = JSON.parse(line)
  if (!task) task = value
  else console.log(JSON.stringify(await judge(value, task)))
}
