// A client of a cloud that uses its credential again and again: the task is the
// first line on stdin, each further line asks for one call, and each call is
// answered by one line: who the cloud says we are, or the error.
import readline from 'node:readline'

export async function converse(prepare) {
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  const task = JSON.parse((await lines.next()).value)
  const use = await prepare(task).catch((err) => {
    say({ error: `${err?.message ?? err}` })
    process.exit(1)
  })
  say({ ready: true })
  for await (const _ of lines) {
    say(await use().then((who) => ({ who }), (err) => ({ error: `${err?.message ?? err}` })))
  }
}

const say = (line) => console.log(JSON.stringify(line))
