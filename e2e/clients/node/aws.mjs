// The AWS SDK v3 with its default credentials.
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import { converse } from './converse.mjs'

await converse(async (task) => {
  const client = new STSClient({ endpoint: task.sts, region: task.region })
  return async () => (await client.send(new GetCallerIdentityCommand({}))).Arn
})
