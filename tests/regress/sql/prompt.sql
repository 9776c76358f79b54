\pset format unaligned
create extension pk;

-- Versions count up; an equal document is the version that is there.
select pk_prompt_put('greet', '"Hello {{name}}"');
select pk_prompt_put('greet', '{"messages": [{"role": "user", "content": "Hi {{name}}"}], "model": "echo"}');
select pk_prompt_put('greet', '{"model": "echo", "messages": [{"content": "Hi {{name}}", "role": "user"}]}');
select pk_prompt_get('greet'), pk_prompt_get('greet@1');
select pk_prompt_get('greet@7'), pk_prompt_get('nobody'), pk_prompt_get('greet@production');

-- A bare slug is the latest until one is published.
select pk_render('greet', '{"name": "Ann"}');
select pk_prompt_publish('greet', 1);
select pk_render('greet', '{"name": "Ann"}'), pk_render('greet@latest', '{"name": "Ann"}');
select pk_prompt_publish('greet', 2, 'production');
select pk_render('greet@production', '{"name": "a\"b\\c"}');
select pk_render(ref => 'greet', vars => '{"name": "Ann"}'), pk_prompt(ref => 'greet', vars => null) is null;
select pk_prompt_publish('greet', 1, 'ab', 30), pk_prompt_publish('greet', 2, 'ab', 70);
select slug, version, template, model, parameters, tools, config, virtual_key, labels from pk_prompts
    order by slug, version;
select count(*) between 230 and 370 as three_in_ten_of_1000 from (
    select pk_render('greet@ab', jsonb_build_object('name', i)) -> 0 ->> 'content' as text
    from generate_series(1, 1000) i) r where text like 'Hello%';

-- What is wrong is said.
select pk_render('greet', '{}');
select pk_render('greet', '[]');
select pk_render('nobody', '{}');
select pk_render('greet@staging', '{}');
select pk_prompt_put('bad', '{"messages": [{"role": "user", "content": "{{#a}}"}]}');
select pk_prompt_put('bad', '{"string": "x", "virtual_key": "nobody"}');
select pk_prompt_put('bad', '{"string": "x", "temprature": 1}');
select pk_prompt_put('bad', '"{{>footer}}"');
select pk_prompt_put('a@b', '"x"');
select pk_prompt_publish('greet', 9);
select pk_prompt_publish('greet', 1, 'latest');
select pk_prompt_publish('greet', 1, 'x', -1);
select pk_prompt('greet', '{"name": "Ann"}');

-- Partials.
select pk_prompt_put('partial/footer', '"Sincerely, {{me}}"');
select pk_prompt_put('letter', '"{{body}}\n\n{{>footer}}"');
select pk_render('letter', '{"body": "Yes.", "me": "Bob"}') -> 0 ->> 'content';

-- NULL gives NULL, and no call.
select pk_render(null, '{}') is null, pk_render('greet', null) is null, pk_prompt(null, '{}') is null,
    pk_prompt('greet', null) is null, pk_prompt_put('greet', null) is null, pk_prompt_publish('greet', null) is null;

-- A call: the config given, as jsonb and as text, or the prompt's own.
select pk_key_put('key', 'openai', 'sk-1', jsonb_build_object('custom_host', :'config'::jsonb ->> 'custom_host'));
select pk_config_put('own', '{"virtual_key": "key"}');
select pk_prompt('greet@2', '{"name": "Ann"}', '{"virtual_key": "key"}'::jsonb) #>> '{choices,0,message,content}';
select pk_prompt('greet@2', '{"name": "Bob"}', 'own', '{"pk": {"trace_id": "t1", "user_id": "u"}}')
    #>> '{choices,0,message,content}';
select pk_prompt_put('mine', '{"string": "Me {{name}}", "model": "echo", "config": "own", "parameters": {"seed": 1}}');
select pk_prompt('mine', '{"name": "Eve"}', null, '{"model": "body-echo", "top_p": 1}')
    #>> '{choices,0,message,content}';
select pk_flush();
select prompt, config, request_model, status, user_id from pk_logs order by id;

-- Changes are the transaction's.
begin;
select pk_prompt_put('undone', '"x"');
select pk_render('undone', '{}');
rollback;
select pk_prompt_get('undone') is null;
select pk_prompt_delete('greet'), pk_prompt_delete('greet');
select pk_prompt_put('greet', '"again"');
select verb, object, detail from pk_audit where object = 'greet' order by id;

-- pk_user may call and render, and administers nothing.
create role caller login;
grant pk_user to caller;
set role caller;
select pk_render('letter', '{"body": "Yes.", "me": "Bob"}') is not null;
select pk_prompt_put('greet', '"x"');
select pk_prompt_get('greet');
select 1 from pk_prompts;
select 1 from pk_prompt;
