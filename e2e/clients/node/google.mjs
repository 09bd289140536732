// google-auth-library with its default credentials: GOOGLE_APPLICATION_CREDENTIALS
// or the metadata service. Nothing of it is changed; the task names which version.
import { converse } from './converse.mjs'

await converse(async (task) => {
  const { GoogleAuth } = await import(task.library)
  const auth = new GoogleAuth({ scopes: task.scopes })
  const client = task.audience ? await auth.getIdTokenClient(task.audience) : await auth.getClient()
  return async () => (await client.request({ url: task.api, responseType: 'text' })).data
})
