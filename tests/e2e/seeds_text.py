"""Makes a program of a snippet: indents it, and changes the base URL and the placeholders.

A snippet of a web page has often lost its indentation, which Python needs. It is found again from what
the statements say: a line that ends in a colon opens a block; a return, a def, a class, an except end one.
"""
import re

OPENS = re.compile(r":\s*(#.*)?$")
ENDS = re.compile(r"(return|raise|continue|break)\b")
STOPS = re.compile(r"(except|else|elif|finally)\b")
TOP = re.compile(r"(class |@|if __name__)")


def after_quote(line, i):
    """The index behind the string that begins at i."""
    j = i + 1
    while j < len(line) and line[j] != line[i]:
        j += 2 if line[j] == "\\" else 1
    return j + 1


def depth_after(line, depth, triple):
    """(open brackets, the triple quote that is open) after the line."""
    i = 0
    while i < len(line):
        if triple:
            at = line.find(triple, i)
            if at < 0:
                return depth, triple
            i, triple = at + 3, None
        elif line[i:i + 3] in ('"""', "'''"):
            i, triple = i + 3, line[i:i + 3]
        elif line[i] in "\"'":
            i = after_quote(line, i)
        elif line[i] == "#":
            break
        else:
            depth += (line[i] in "([{") - (line[i] in ")]}")
            i += 1
    return depth, triple


def statements(lines):
    """Lists of lines, one a statement."""
    group, depth, triple = [], 0, None
    for line in lines:
        group.append(line)
        depth, triple = depth_after(line, depth, triple)
        if depth == 0 and not triple:
            yield group
            group = []
    if group:
        yield group


def indented(lines, levels):
    """Python again. `levels` {line that begins a statement, counted from 0: level} goes first."""
    out, level, at = [], 0, 0
    for group in statements(lines):
        first = group[0]
        if TOP.match(first):
            level = 0
        elif first.startswith("def "):
            level = int("self" in "".join(group[0:3]))
        elif STOPS.match(first):
            level -= 1
        level = levels.get(at, level)
        out += ["    " * level + first, *group[1:]]
        at += len(group)
        if OPENS.search(group[-1]) and not first.startswith("#"):
            level += 1
        elif ENDS.match(first):
            level = max(level - 1, 0)
    return out


# --- placeholders ----------------------------------------------------------------------------------

PYTHON_HEAD = """import portkey_ai
portkey_ai.PORTKEY_GATEWAY_URL = {base!r}
ASK = dict(model="gpt-4o-mini", messages=[{{"role": "user", "content": "What is a gateway for models?"}}])
"""
# What a TypeScript compiler makes of `import`, and the one function that no release of the SDK has.
NODE_HEAD = """import {{ createRequire }} from 'node:module';
const require = createRequire(process.env.PK_SDK + '/node/x.js');
const messages = [{{ role: 'user', content: 'What is a gateway for models?' }}];
"""


def python_text(text, base, key):
    own = "http://127.0.0.1:8787"
    for old, new in (("https://api.portkey.ai/v1", base), (own, base.removesuffix("/v1")), ('"pk-..."', repr(key)),
                     ('api_key="PORTKEY_API_KEY"', f"api_key={key!r}"), ("-vk-...", "-vk"), ("messages=[...]", 'messages=ASK["messages"]'),
                     (".create(...)", ".create(**ASK)"),
                     (".extensions.cache_status", '.get_headers()["cache-status"]')):
        text = text.replace(old, new)
    return text


def node_text(text, base, key):
    text = re.sub(r"import (\w+) from ('[^']+');", r"const \1 = require(\2).default;", text)
    text = re.sub(r"import \{ createConfig \} from ('[^']+');",
                  r"const { createConfig = (config) => config } = require(\1);", text)
    text = re.sub(r"import (\{[^}]+\}) from ('[^']+');", r"const \1 = require(\2);", text)
    for old in "https://api.portkey.ai/v1", "http://localhost:8787/v1", "http://127.0.0.1:8787/v1":
        text = text.replace(old, base)
    text = text.replace("'PORTKEY_API_KEY'", repr(key)).replace("'pk-...'", repr(key))
    return text if "baseURL" in text else text.replace("new Portkey({", f"new Portkey({{ baseURL: '{base}', ")


def program_of(snippet, lines, base, key):
    lines = lines[snippet.first - 1:snippet.last]
    if snippet.flat:
        lines = indented(lines, {at - snippet.first: level for at, level in snippet.levels.items()})
    for at in sorted(snippet.insert, reverse=True):
        lines.insert(at - snippet.first, snippet.insert[at])
    text = "\n".join([snippet.before, *lines, snippet.after]) + "\n"
    if snippet.language == "python":
        return PYTHON_HEAD.format(base=base) + python_text(text, base, key)
    return NODE_HEAD.format() + node_text(text, base, key)
