// The Node SDKs against a running pkd; tests/e2e/sdk.py starts it. PKD is its address.
import assert from 'node:assert/strict';
import { Anthropic, OpenAI, PKD, anthropic, check, messages, openai, portkey } from './sdk_clients.mjs';

await check('openai_reads_answers_and_streams', async () => {
  const client = openai({ virtualKey: 'oai' });
  const answer = await client.chat.completions.create({ model: 'gpt-4o', messages });
  assert.equal(answer.choices[0].message.content, 'hello there');
  let text = '';
  for await (const chunk of await client.chat.completions.create({ model: 'echo', messages, stream: true }))
    text += chunk.choices[0]?.delta.content ?? '';
  assert.equal(text, 'hello there');
});

await check('openai_embeds_with_every_provider', async () => {
  let first;
  for (const virtualKey of ['oai', 'goo', 'coh', 'mis', 'voy'])
    for (const format of [{}, { encoding_format: 'float' }]) { // without one it asks for base64
      const answer = await openai({ virtualKey }).embeddings.create(
        { model: 'embed-test', input: ['hello there', 'another'], dimensions: 8, ...format });
      first ??= answer.data;
      answer.data.forEach((d, i) => {
        assert.equal(d.index, i);
        assert.equal(d.embedding.length, 8);
        d.embedding.forEach((x, k) => assert.ok(Math.abs(x - first[i].embedding[k]) < 1e-6, virtualKey));
      });
    }
});

await check('openai_takes_a_config_in_camel_case', async () => {
  const config = { strategy: { mode: 'fallback' }, targets: [
    { virtualKey: 'oai-down' }, { virtualKey: 'oai', overrideParams: { model: 'gpt-4o-mini' } }] };
  const answer = await openai({ config }).chat.completions.create({ model: 'other', messages });
  assert.equal(answer.model, 'gpt-4o-mini');
});

await check('openai_raises_its_own_errors', async () => {
  const ask = (model) => openai({ virtualKey: 'oai' }).chat.completions.create({ model, messages });
  await assert.rejects(ask('status-429'), OpenAI.RateLimitError);
  await assert.rejects(ask('status-500'), OpenAI.InternalServerError);
  await assert.rejects(openai({ config: 'nope' }).chat.completions.create({ model: 'm', messages }),
    OpenAI.NotFoundError);
});

await check('anthropic_reads_answers_and_streams_at_both_bases', async () => {
  const params = { model: 'claude-haiku-4-5', max_tokens: 50, messages };
  for (const path of ['', '/v1']) {
    const answer = await anthropic(path).messages.create(params);
    assert.equal(answer.content[0].text, 'hello there');
    assert.equal(await anthropic(path).messages.stream(params).finalText(), 'hello there');
  }
  await assert.rejects(anthropic().messages.create({ ...params, model: 'status-429' }), Anthropic.RateLimitError);
});

await check('portkey_options_and_feedback_meet_in_the_log', async () => {
  const client = portkey({ virtualKey: 'oai' });
  const answer = await client.chat.completions.create({ model: 'gpt-4o-mini', messages },
    { traceID: 'trace-node', metadata: { _user: 'u1', env: 'test' } });
  assert.equal(answer.getHeaders()['trace-id'], 'trace-node');
  const given = await client.feedback.create({ traceID: 'trace-node', value: 5, weight: 0.5 });
  assert.equal(given.feedback_ids.length, 1);
});

await check('portkey_streams_and_hits_the_cache', async () => {
  const config = { virtual_key: 'oai', cache: { mode: 'simple', max_age: 60, namespace: 'node' } };
  const client = portkey({ config });
  let chunks = 0;
  for await (const chunk of await client.chat.completions.create({ model: 'gpt-4o', messages, stream: true })) chunks++;
  assert.ok(chunks >= 3);
  const again = await client.chat.completions.create({ model: 'gpt-4o', messages });
  assert.equal(again.getHeaders()['cache-status'], 'HIT');
});

const variables = { tone: 'kind', words: 'a "b"\nc', from: 'me' };

await check('portkey_completes_and_renders_prompts', async () => {
  const client = portkey({});
  const answer = await client.prompts.completions.create({ promptID: 'pp-greet', variables });
  assert.equal(answer.choices[0].message.content, 'Say "a "b"\nc" -- me');
  let text = '';
  for await (const chunk of await client.prompts.completions.create({ promptID: 'pp-greet@1', variables, stream: true }))
    text += chunk.choices[0]?.delta.content ?? '';
  assert.equal(text, 'Say "a "b"\nc" -- me');
  const shown = await client.prompts.render({ promptID: 'pp-greet', variables, temperature: 0.25 });
  assert.equal(shown.success, true);
  assert.deepEqual([shown.data.model, shown.data.temperature, shown.data.max_tokens], ['echo', 0.25, 99]);
  assert.equal(shown.data.messages[0].content, 'Be kind.');
  await assert.rejects(client.prompts.completions.create({ promptID: 'pp-greet', variables: {} }),
    /missing variables: tone, words, from/);
});

await check('portkey_administers_prompts_and_partials', async () => {
  const { prompts } = portkey({});
  const made = await prompts.create({ name: 'From node', collection_id: 'c', string: 'A {{x}}',
    parameters: { temperature: 0 }, virtual_key: 'oai', model: 'echo' });
  assert.equal(made.slug, 'pp-from-node');
  assert.equal((await prompts.update(made.slug, { string: 'B {{x}}' })).prompt_version_id, 'pp-from-node@2');
  await prompts.publish(made.slug, { version: 1 });
  assert.equal((await prompts.retrieve(made.slug)).prompt_version, 1);
  assert.equal((await prompts.versions.list(made.slug)).total, 2);
  await prompts.versions.update(made.slug, 'pp-from-node@2', { label_id: 'production' });
  assert.equal((await prompts.versions.retrieve(made.slug, '2')).string, 'B {{x}}');
  assert.equal((await prompts.list({ search: 'from-node' })).data[0].object, 'prompt');
  const part = await prompts.partials.create({ name: 'node part', string: 'p' });
  assert.equal(part.slug, 'pp-node-part');
  await prompts.partials.update(part.slug, { string: 'q' });
  await prompts.partials.publish(part.slug, { version: 2 });
  assert.equal((await prompts.partials.retrieve(part.slug)).version, 2);
  await prompts.partials.delete(part.slug);
  await prompts.delete(made.slug);
  await assert.rejects(prompts.retrieve(made.slug));
});
