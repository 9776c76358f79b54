// Portkey's Node SDK as an administrator of a pkd; tests/e2e/sdk.py starts it. PKD is its address, KEY its key.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PK_SDK + '/node/x.js');
const { Portkey } = require('portkey-ai');

const { PKD, KEY, MOCK } = process.env;
const messages = [{ role: 'user', content: 'hello there' }];
const portkey = (options) => new Portkey({ apiKey: KEY, baseURL: PKD + '/v1', ...options });
const admin = portkey({});

async function check(name, body) {
  try {
    await body();
    console.log(`ok ${name} (node)`);
  } catch (e) {
    console.log(String(e.stack).replace(/^/gm, '# '));
    console.log(`not ok ${name} (node)`);
    process.exitCode = 1;
  }
}

async function refused(call, status) {
  await assert.rejects(call, (e) => e.status === status);
}

await check('portkey_administers_virtual_keys_and_configs', async () => {
  const key = await admin.virtualKeys.create({ name: 'From Node', provider: 'openai', key: 'sk-node', custom_host: MOCK,
    usage_limits: { credit_limit: 10, periodic_reset: 'weekly' } });
  assert.equal(key.slug, 'from-node');
  assert.equal((await admin.virtualKeys.retrieve({ slug: 'from-node' })).usage_limits.periodic_reset, 'weekly');
  await admin.virtualKeys.update({ slug: 'from-node', note: 'n' });
  assert.ok((await admin.virtualKeys.list({})).data.some((k) => k.note === 'n'));
  const made = await admin.configs.create({ name: 'From Node', config: { virtualKey: 'from-node' }, isDefault: 0 });
  assert.equal(made.slug, 'pc-from-node');
  assert.deepEqual((await admin.configs.retrieve({ slug: made.slug })).config, { virtualKey: 'from-node' });
  await admin.configs.update({ slug: made.slug, name: 'N', config: { virtual_key: 'from-node' } });
  assert.equal((await admin.configs.list({})).data[0].name, 'N');
  const answer = await portkey({ config: made.slug }).chat.completions.create({ model: 'gpt-4o', messages });
  assert.equal(answer.choices[0].message.content, 'hello there');
  await admin.configs.delete({ slug: made.slug });
  await refused(admin.configs.retrieve({ slug: made.slug }), 404);
});

await check('portkey_administers_api_keys', async () => {
  const made = await admin.apiKeys.create({ type: 'workspace', 'sub-type': 'service', name: 'node-app',
    scopes: ['completions.write'], defaults: { config_id: 'from-node' } });
  const app = portkey({ apiKey: made.key });
  assert.equal((await app.chat.completions.create({ model: 'gpt-4o', messages })).choices[0].message.content, 'hello there');
  await refused(app.configs.list({}), 403);
  assert.deepEqual((await admin.apiKeys.retrieve({ id: made.id })).scopes, ['call']);
  await admin.apiKeys.update({ id: made.id, description: 'd' });
  assert.ok((await admin.apiKeys.list({})).data.some((k) => k.description === 'd'));
  await admin.apiKeys.delete({ id: made.id });
  await refused(app.chat.completions.create({ model: 'gpt-4o', messages }), 401);
});

await check('portkey_administers_guardrails_providers_and_labels', async () => {
  const actions = { deny: true, async: false, on_success: {}, on_fail: {} };
  const made = await admin.guardrails.create({ name: 'Node guard', actions,
    checks: [{ id: 'default.contains', parameters: { words: ['hello'], operator: 'none' } }] });
  await refused(portkey({ config: { virtual_key: 'from-node', input_guardrails: [made.slug] } })
    .chat.completions.create({ model: 'gpt-4o', messages }), 446);
  await admin.guardrails.update({ guardrail_id: made.slug, name: 'G' });
  assert.equal((await admin.guardrails.retrieve({ guardrail_id: made.slug })).name, 'G');
  assert.equal((await admin.guardrails.list({})).total, 1);
  await admin.guardrails.delete({ guardrail_id: made.slug });
  const integration = await admin.integrations.create({ name: 'Node integration', ai_provider_id: 'openai', key: 'sk-node',
    configurations: { custom_host: MOCK } });
  const provider = await admin.providers.create({ name: 'Node provider', integration_id: integration.slug });
  assert.equal((await admin.providers.retrieve({ slug: provider.slug })).integration_id, integration.slug);
  await admin.providers.delete({ slug: provider.slug });
  await admin.integrations.delete({ slug: integration.slug });
  const label = await admin.labels.create({ name: 'staging' });
  assert.equal((await admin.labels.retrieve(label.id)).name, 'staging');
  await admin.labels.delete(label.id);
  const collection = await admin.collections.create({ name: 'Node things' });
  assert.equal((await admin.collections.list({ workspace_id: 'w' })).data[0].id, collection.id);
  await admin.collections.delete(collection.id);
});
