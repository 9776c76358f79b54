# build.awk - from sql/ to what the two engines run.
#
#   awk -f build.awk -v what=statements statements.sql                   rows for an enum and its texts
#   awk -f build.awk -v what=schema     schema.sql migrate/*.sql prices.csv models.csv   rows for the SQLite engine
#   awk -f build.awk -v what=extension  schema.sql prices.csv models.csv a script for Postgres
#   awk -f build.awk -v what=migrate    migrate/*.sql                    one that brings its tables up to date
#   awk -f build.awk -v what=views      schema.sql prices.csv models.csv and what is made anew after that
#
# The SQL is written once. Words in @...@ stand for what the engines spell differently; @word(x)@ takes an
# expression, in which there may be other words. `$n` becomes `?n` for SQLite, which numbers `$n` by appearance. A block
# "-- part: name" of statements.sql is text that @name@ stands for further down, in heads too. A statement of the schema
# or a migration that begins with @postgres or @sqlite is for that engine alone.

BEGIN {
    # types                sqlite                    postgres
    word["blob"]         = "blob"                  SUBSEP "bytea"
    word["json"]         = "text"                  SUBSEP "jsonb"
    word["uuid"]         = "blob"                  SUBSEP "uuid"
    word["small"]        = "integer"               SUBSEP "smallint"   # SQLite takes what room a number needs
    word["serial"]       = "integer primary key"   SUBSEP "bigint generated always as identity primary key"
    word["sequence"]     = "integer primary key autoincrement" SUBSEP "bigint generated always as identity primary key" # never given twice
    word["by_key"]       = " without rowid"        SUBSEP ""   # rows live in the primary key's tree
    # what people see; X is the argument
    word["uuid()"]       = "lower(substr(hex(X),1,8)||'-'||substr(hex(X),9,4)||'-'||substr(hex(X),13,4)||'-'||substr(hex(X),17,4)||'-'||substr(hex(X),21))" SUBSEP "X"
    word["time()"]       = "strftime('%Y-%m-%dT%H:%M:%fZ', X / 1000 / 1000.0, 'unixepoch')" SUBSEP "to_timestamp(X / 1000000.0::float8)"
    word["ms()"]         = "(X / 1000.0)"          SUBSEP "(X / 1000.0::float8)"
    word["usd()"]        = "(X / 1e12)"            SUBSEP "trim_scale(X * 0.000000000001)"
    word["usd_m()"]      = "(X / 1e6)"             SUBSEP "trim_scale(X * 0.000001)"
    word["units()"]      = "case when l.counts = 'cost' then (X) / 1e12 else X end" SUBSEP "case when l.counts = 'cost' then trim_scale((X) * 0.000000000001) else (X)::numeric end"
    word["now_us"]       = "cast((julianday('now') - 2440587.5) * 86400000000.0 as integer)" SUBSEP "cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)"
    word["next_month_us"] = "cast(strftime('%s', 'now', 'start of month', '+1 month') as integer) * 1000000" SUBSEP "cast(extract(epoch from date_trunc('month', clock_timestamp() at time zone 'UTC') + interval '1 month') * 1000000 as bigint)"
    word["step()"]       = "case when l.span_us is null then s.X else l.X end" SUBSEP "case when l.span_us is null then s.X else l.X end"
    # of a log row: a count that most often is 0, for which Postgres keeps a null, as that takes no room; and column X, whose
    # null is a 0 when usage is known
    word["spare()"]      = "X"                     SUBSEP "nullif(X, 0)"
    word["spared()"]     = "l.X"                   SUBSEP "coalesce(l.X, 0 * l.input_tokens)"
    word["insert_or_fail"] = "insert or fail"      SUBSEP "insert"      # SQLite need not be able to undo it alone
    word["payload()"]    = "case when X < 0 then (- X) / 1024 else X end" SUBSEP "case when X < 0 then (- X) / 1024 else X end" # shared/payload.h
    word["hex()"]        = "lower(hex(X))"         SUBSEP "encode(X, 'hex')"
    word["find()"]       = "instr(X)"              SUBSEP "strpos(X)"
    word["has()"]        = "instr(X) > 0"          SUBSEP "strpos(X) > 0"  # X: a text, and what is in it
    word["item()"]       = "','||X||','"           SUBSEP "','||X||','"    # of a list ",a,b,"
    # of a log row's metadata: the member called X, as text (SQLite's paths cannot say every name); whether those of
    # the object X are among it; whether it may have the text X in it, where looking is cheaper than parsing
    word["member()"]     = "(select cast(m.value as text) from json_each(l.metadata) m where m.key = X)" SUBSEP "(l.metadata ->> X)"
    word["mentions()"]   = "instr(l.metadata, X) > 0" SUBSEP "true"
    word["holds()"]      = "not exists (select 1 from json_each(X) f where not exists (select 1 from json_each(l.metadata) m where m.key = f.key and cast(m.value as text) is cast(f.value as text)))" SUBSEP "not exists (select 1 from jsonb_each_text(cast(X as jsonb)) f where f.value is distinct from l.metadata ->> f.key)"
    # that metadata as an object of what member() says of each: as it is when all are texts anyway
    word["texts()"]      = "case when X glob '*:[^\" ]*' or X glob '*: [^\"]*' then (select json_group_object(m.key, m.value || '') from json_each(X) m) else X end" SUBSEP "case when X @? 'strict $.* ? (@.type() <> \"string\")' then (select cast(jsonb_object_agg(m.key, m.value) as text) from jsonb_each_text(X) m) else cast(X as text) end"
    word["hex_text()"]   = "lower(hex(X))"         SUBSEP "encode(convert_to(X, 'UTF8'), 'hex')"
    word["list()"]       = "json_array(X)"         SUBSEP "json_build_array(X)"
    word["attributes()"] = "json_patch('{}', json_object(X))" SUBSEP "json_strip_nulls(json_build_object(X))" # no nulls
    word["object()"]     = "json_group_object(X)"  SUBSEP "coalesce(json_object_agg(X), '{}')"
    word["engine"]       = "'sqlite'"              SUBSEP "'postgres'"
    word["flag()"]       = "(X)"                   SUBSEP "cast(X as boolean)"
    # whether the one who looks may see what an actor (store_audit.h) made
    word["mine()"]       = "true" SUBSEP "(X = 'role:' || current_user or pg_has_role(current_user, 'pk_admin', 'member') or pg_has_role(current_user, 'pk_gateway', 'member'))"
    word["as_json()"]    = "X"                     SUBSEP "(X)::json"
    # parameter types in statements.sql, one letter each
    letter["bigint"] = "i"; letter["text"] = "t"; letter["blob"] = "b"
    letter["uuid"] = "u"; letter["bool"] = "l"; letter["double"] = "d"
    literal_max = 4095 # what C11 promises for a string literal
}

function die(why) { print FILENAME ":" FNR ": " why > "/dev/stderr"; failed = 1; exit 1 }

# The text of `engine` (1 sqlite, 2 postgres) with the words replaced; those in the arguments of others first.
function spell(text, engine,    token, name, arg, both, at, start, len) {
    while (match(text, /@[a-z_]+(\([^@]*\))?@/)) {
        start = RSTART; len = RLENGTH
        token = substr(text, start + 1, len - 2)
        at = index(token, "(")
        name = at ? substr(token, 1, at) ")" : token
        arg = at ? substr(token, at + 1, length(token) - at - 1) : ""
        if (!(name in word)) die("unknown word @" token "@")
        split(word[name], both, SUBSEP)
        text = substr(text, 1, start - 1) fill(both[engine], arg) substr(text, start + len)
    }
    return engine == 1 ? numbered(text) : text
}
function fill(pattern, arg,    out, at) {
    out = ""
    while ((at = index(pattern, "X")) > 0) {
        out = out substr(pattern, 1, at - 1) arg
        pattern = substr(pattern, at + 1)
    }
    return out pattern
}
function numbered(text) { gsub(/\$/, "?", text); return text }

function c_string(text) {
    gsub(/\\/, "\\\\", text)
    gsub(/"/, "\\\"", text)
    if (length(text) > literal_max) die("longer than a C string literal may be: " substr(text, 1, 60))
    return "\"" text "\""
}

# --- statements ----------------------------------------------------------------------------

function with_parts(text,    name) {
    for (name in parts) gsub("@" name "@", parts[name], text)
    return text
}
function finish_statement() {
    if (name == "") return
    sql = with_parts(sql)
    if (is_part) {
        parts[name] = sql
        gsub(/&/, "\\\\&", parts[name])
    } else if (only_postgres) {
        if (!(name in sqlite)) die("@postgres block before the plain one: " name)
        postgres[name] = spell(sql, 2)
    } else {
        if (name in sqlite) die("twice: " name)
        order[++count] = name
        types[name] = signature
        sqlite[name] = spell(sql, 1)
        postgres[name] = spell(sql, 2)
    }
    name = sql = ""
}
function start_statement(head,    n, i, params, part) {
    head = with_parts(head)
    only_postgres = sub(/ *@postgres *$/, "", head)
    is_part = sub(/^-- part: */, "", head)
    sub(/^-- name: */, "", head)
    if (!match(head, /^[a-z_0-9]+/)) die("no name")
    name = substr(head, 1, RLENGTH)
    params = substr(head, RLENGTH + 1)
    gsub(/[()]/, "", params)
    signature = ""
    n = split(params, part, /, */)
    for (i = 1; i <= n; i++) {
        sub(/^[^ ]* /, "", part[i])
        if (!(part[i] in letter)) die("unknown type " part[i])
        signature = signature letter[part[i]]
    }
}
function print_statements(    i) {
    print "/* Made by sql/build.awk from sql/statements.sql. */"
    for (i = 1; i <= count; i++)
        printf "STATEMENT(%s, \"%s\",\n          %s,\n          %s)\n", order[i], types[order[i]], \
            c_string(sqlite[order[i]]), c_string(postgres[order[i]])
}

# --- schema --------------------------------------------------------------------------------

# Builds of one number may have differed a little: what is there already is left as it is.
function finish_migration(text) {
    sub(/^create table /, "&if not exists ", text)
    sub(/^create index /, "&if not exists ", text)
    sub(/^drop index /, "&if exists ", text)
    sub(/ add column /, "&if not exists ", text)
    if (version != begun) {
        end_migration()
        begun = version
        print "do $$ begin\nif (select value from pk_meta where name = 'schema_version') < " version " then"
    }
    print "    " spell(text, 2) ";"
}
function end_migration() {
    if (begun) print "    update pk_meta set value = " begun " where name = 'schema_version';\nend if;\nend $$;"
}
function finish_sql(text,    kind) {
    only_postgres = sub(/^@postgres /, "", text)
    only_sqlite = sub(/^@sqlite /, "", text)
    if (what == "migrate") {
        if (!only_sqlite) finish_migration(text)
        return
    }
    if (what == "views" && text !~ /^create view/) return
    if (what == "extension" || what == "views") {
        if (!only_sqlite) print spell(text, 2) ";"
        return
    }
    if (only_postgres) return
    kind = version ? "MIGRATION" : text ~ /^create view/ ? "VIEW" : "TABLE"
    printf "SCHEMA(%s, %d, %s)\n", kind, version, c_string(spell(text, 1))
}

# Dollars per million tokens as pico-dollars a token: six places moved, no arithmetic.
function pusd(decimal,    at, whole, part) {
    if (decimal == "") return "null"
    if (decimal !~ /^[0-9]+(\.[0-9]+)?$/) die("not a price: " decimal)
    at = index(decimal, ".")
    whole = at ? substr(decimal, 1, at - 1) : decimal
    part = at ? substr(decimal, at + 1) : ""
    if (length(part) > 6) die("finer than a pico-dollar: " decimal)
    while (length(part) < 6) part = part "0"
    whole = whole part
    sub(/^0+/, "", whole)
    return whole == "" ? "0" : whole
}
# Microseconds since 1970 of YYYY-MM-DD, as digits (awk's numbers may be too small).
function date_us(date,    y, m, d, era, yoe, doy) {
    if (date !~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]$/) die("not a date: " date)
    y = substr(date, 1, 4) + 0; m = substr(date, 6, 2) + 0; d = substr(date, 9, 2) + 0
    if (m <= 2) y--
    era = int(y / 400); yoe = y - era * 400
    doy = int((153 * (m + (m > 2 ? -3 : 9)) + 2) / 5) + d - 1
    return (era * 146097 + yoe * 365 + int(yoe / 4) - int(yoe / 100) + doy - 719468) * 864 "00000000"
}
function add_price(line,    f, row, i) {
    if (split(line, f, ",") != 11) die("11 columns wanted")
    row = "('" f[1] "','" f[2] "'," (f[3] == "" ? 0 : f[3])
    row = row "," date_us(f[4]) "," (f[5] == "" ? 0 : date_us(f[5]))
    if (f[11] == "") f[11] = f[10] # reasoning is billed as output
    for (i = 6; i <= 11; i++) row = row "," pusd(f[i])
    add_row("pk_price (provider,model,above_tokens,from_us,to_us," \
        "input,cache_read,cache_write,cache_write_1h,output,reasoning,origin) values ", row ",'list')")
}
# What a model is and can do; its abilities are names of LiteLLM's flags without "supports_". What all rows have in common is
# written once a statement: the list is a part of each program.
function add_model(line,    f) {
    if (split(line, f, ",") != 7) die("7 columns wanted")
    if (f[6] != "" && f[6] !~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]$/) die("not a date: " f[6])
    add_row("pk_model (provider,model,mode,context_window,max_output_tokens,deprecation_date," \
        "capabilities,origin,source,updated_us) select column1,column2,column3,cast(column4 as bigint)," \
        "cast(column5 as bigint),column6,'{\"supports_'||replace(column7,' ','\":true,\"supports_')||'\":true}'," \
        "'list','list'," as_of_us " from (values ", \
        "('" f[1] "','" f[2] "','" f[3] "'," whole(f[4]) "," whole(f[5]) "," quoted(f[6]) "," quoted(f[7]) ")", \
        ") as listed where true")
}
function quoted(text) {
    return text == "" ? "null" : "'" text "'"
}
function whole(text) {
    if (text == "") return "null"
    if (text !~ /^[1-9][0-9]*$/) die("not a number: " text)
    return text
}
# Many rows a statement, as long as it is no longer than a literal may be.
function add_row(into, row, behind) {
    if (rows != "" && (into != table || length(rows) + length(row) > literal_max - 600)) finish_rows()
    table = into
    after = behind
    rows = rows (rows == "" ? "" : ",") row
}
function finish_rows() {
    if (rows == "") return
    print_list_sql("insert into " table rows after " on conflict do nothing")
    rows = ""
}
function print_list_sql(text) {
    if (what == "extension" || what == "views") print text ";"
    else printf "SCHEMA(PRICES, %s, %s)\n", as_of, c_string(text)
}

FNR == 1 {
    version = 0
    if (FILENAME ~ /migrate\//) {
        number = FILENAME
        sub(/.*migrate\//, "", number)
        version = number + 0
        if (version < 2) die("migrations are named NNNN_what.sql, from 0002 on")
    }
    if (what == "schema" && !opened++)
        print "/* Made by sql/build.awk from sql/schema.sql, sql/migrate/, sql/prices.csv and sql/models.csv. */"
}
FILENAME ~ /\.csv$/ {
    if (/^# as of /) {
        finish_rows()
        as_of = $4
        gsub(/-/, "", as_of)
        as_of_us = date_us($4)
        if (FILENAME ~ /models\.csv$/) {
            print_list_sql("delete from pk_model where origin = 'list'")
        } else {
            print_list_sql("delete from pk_price where origin = 'list'")
            print_list_sql("update pk_meta set value = " as_of " where name = 'prices_as_of'")
        }
    }
    if (/^#/ || /^provider,/ || !NF) next
    if (FILENAME ~ /models\.csv$/) add_model($0)
    else add_price($0)
    next
}
what == "statements" && /^-- (name|part):/ { finish_statement(); start_statement($0); next }
{
    sub(/(^| +)--.*/, "")
    gsub(/[ \t]+/, " ")
    sub(/^ /, "")
    sub(/ $/, "")
}
!NF { next }
what == "statements" {
    sub(/;$/, "")
    sql = sql (sql == "" ? "" : " ") $0
    next
}
{
    ends = sub(/;$/, "")
    sql = sql (sql == "" ? "" : " ") $0
    if (ends) { finish_sql(sql); sql = "" }
}
END {
    if (failed) exit 1
    if (what == "statements") { finish_statement(); print_statements() }
    else finish_rows()
    if (what == "migrate") end_migration()
    if (sql != "") die("a statement without its ';'")
}
