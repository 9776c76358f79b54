# pk - the AI gateway that lives in your database
#
#   make deps      installs the Debian packages that are missing
#   make           builds pk.so, pkd, mockd and the Postgres extension
#   make demo      runs the main job in SQLite, Postgres and over HTTP
#   make check     runs every test          make lint   format, layers, analyzers
#   make sdk       the same jobs by the OpenAI, Anthropic and Portkey SDKs, dbt and notebooks, which it installs
#   make san       tests under ASan, UBSan  make bench  figures beside peers (bench-report: docs/performance.md)
#   make tsan      pkd's under TSan, with jobs, limits and a store in Postgres
#   make fuzz      libFuzzer targets        make install, uninstall; install-pg, uninstall-pg PG_CONFIG=...
#   make deb       a Debian package of pkd and pk.so
#
# BUILD=dir builds elsewhere; SAN=1 builds with ASan and UBSan, SAN=thread with TSan; V=1 shows the commands.

Q := $(if $(V),,@)
say = $(if $(V),,@echo "  $(1)")

CC        ?= gcc
CLANG     ?= clang
PG_CONFIG ?= pg_config
PGXS      := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
PYTHON    ?= /usr/bin/python3
PREFIX    ?= /usr/local
, := ,
BUILD     ?= build$(if $(SAN),-san)
SANITIZE  := $(if $(filter thread,$(SAN)),thread,$(if $(SAN),address$(,)undefined))

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
        -Wmissing-prototypes -Wswitch-enum -Wcast-qual -Wwrite-strings -Wpointer-arith -Wundef \
        -Wvla -Wformat=2 -Wnull-dereference -Wdouble-promotion -Wimplicit-fallthrough -Werror
FORTIFY := $(if $(findstring _FORTIFY_SOURCE,$(CFLAGS) $(CPPFLAGS)),,-D_FORTIFY_SOURCE=2)
OPT  := $(if $(SAN),-O1 -fsanitize=$(SANITIZE) -fno-sanitize-recover=all \
        -fno-omit-frame-pointer,-O2 $(FORTIFY) -fstack-protector-strong)
# What is given on the command line comes on top.
override CFLAGS += $(CPPFLAGS) -std=c11 -D_GNU_SOURCE -g -fPIC -fvisibility=hidden -ffunction-sections -MMD -MP $(WARN) $(OPT)
INCLUDES := -Ishared -I$(BUILD)/gen
override LDFLAGS += -Wl,-z,relro,-z,now -Wl,--gc-sections $(if $(SAN),-fsanitize=$(SANITIZE))
PQ_CFLAGS := $(addprefix -I,$(shell $(PG_CONFIG) --includedir 2>/dev/null)) \
             $(shell pkg-config --cflags libpq 2>/dev/null)
LIBS     := -lhttp_parser -lsodium -lzstd -lpcre2-8 -lpthread -ldl -lm

CORE_SRC := $(filter-out %_test.c,$(wildcard shared/*.c))
CORE     := $(CORE_SRC:shared/%.c=$(BUILD)/shared/%.o)
EXT_SRC  := $(wildcard ext-sqlite/*.c)
PKD_SRC  := $(wildcard sidecar/*.c)
MOCK_SRC := $(wildcard tests/mock/*.c)
UNIT     := $(patsubst shared/%.c,$(BUILD)/t/%,$(wildcard shared/*_test.c)) \
            $(patsubst tests/%.c,$(BUILD)/t/%,$(wildcard tests/*.c))
GEN      := $(if $(wildcard sql/statements.sql),$(BUILD)/gen/needs $(BUILD)/gen/statements.def \
            $(BUILD)/gen/schema.inc)
WEB      := $(wildcard sidecar/web/*.html sidecar/web/*.css sidecar/web/*.js)

all: core $(if $(EXT_SRC),$(BUILD)/pk.so) $(if $(PKD_SRC),$(BUILD)/pkd) \
     $(if $(MOCK_SRC),$(BUILD)/mockd) $(if $(wildcard ext-pg/Makefile),$(if $(PGXS),pg,no-pg))
core: $(BUILD)/libpk.a

include Makefile.deps

# --- the core ------------------------------------------------------------------------------

# What is missing is named at once, before anything is compiled.
$(BUILD)/gen/needs: Makefile.deps
	@mkdir -p $(@D)
	$(call look_for,$(HEADERS_PKD))
	@touch $@
$(BUILD)/gen/needs-mock: Makefile.deps
	@mkdir -p $(@D)
	$(call look_for,$(HEADERS_MOCK))
	@touch $@
$(BUILD)/gen/statements.def: sql/statements.sql sql/build.awk
	@mkdir -p $(@D)
	$(Q)awk -f sql/build.awk -v what=statements $< > $@.tmp && mv $@.tmp $@
$(BUILD)/gen/schema.inc: sql/schema.sql sql/prices.csv sql/models.csv sql/build.awk $(wildcard sql/migrate/*.sql)
	@mkdir -p $(@D)
	$(Q)awk -f sql/build.awk -v what=schema sql/schema.sql $(sort $(wildcard sql/migrate/*.sql)) \
	    sql/prices.csv sql/models.csv > $@.tmp && mv $@.tmp $@

gen: $(GEN) $(BUILD)/gen/web.inc $(BUILD)/gen/openapi.inc
$(BUILD)/shared/store_pq.o $(BUILD)/shared/store_pq_%.o: INCLUDES += $(PQ_CFLAGS)
$(BUILD)/shared/%.o: shared/%.c | $(GEN)
	@mkdir -p $(@D)
	$(call say,CC $@)
	$(Q)$(CC) $(CFLAGS) $(INCLUDES) -c -o $@ $<
$(BUILD)/libpk.a: $(CORE)
	@rm -f $@
	$(call say,AR $@)
	$(Q)$(AR) rcs $@ $^

# --- the doors -----------------------------------------------------------------------------

$(BUILD)/ext-sqlite/%.o: ext-sqlite/%.c | $(GEN)
	@mkdir -p $(@D)
	$(call say,CC $@)
	$(Q)$(CC) $(CFLAGS) $(INCLUDES) -c -o $@ $<
$(BUILD)/pk.so: $(EXT_SRC:%.c=$(BUILD)/%.o) $(BUILD)/libpk.a
	$(call say,CC $@)
	$(Q)$(CC) -shared $(LDFLAGS) -Wl,--exclude-libs,ALL $(if $(SAN),,-Wl$(,)-z$(,)defs) \
	    -o $@ $^ $(LIBS)

$(BUILD)/gen/openapi.inc: docs/openapi.json
	@mkdir -p $(@D)
	$(Q)od -An -v -tx1 $< | sed 's/ \(..\)/0x\1,/g' > $@.tmp && mv $@.tmp $@
$(BUILD)/sidecar/openapi.o: $(BUILD)/gen/openapi.inc
$(BUILD)/gen/web.inc: $(WEB) sidecar/web/embed.awk
	@mkdir -p $(@D)
	$(Q)for f in $(WEB); do od -An -v -tx1 $$f | \
	    awk -v name=$$(basename $$f | tr . _) -f sidecar/web/embed.awk; done > $@.tmp && mv $@.tmp $@
$(BUILD)/sidecar/web.o: $(BUILD)/gen/web.inc
$(BUILD)/sidecar/%.o: sidecar/%.c | $(GEN)
	@mkdir -p $(@D)
	$(call say,CC $@)
	$(Q)$(CC) $(CFLAGS) $(INCLUDES) -c -o $@ $<
$(BUILD)/pkd: $(PKD_SRC:%.c=$(BUILD)/%.o) $(BUILD)/libpk.a
	$(call say,CC $@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lsqlite3 -lcsv $(LIBS)

$(BUILD)/mock/%.o: tests/mock/%.c | $(BUILD)/gen/needs-mock
	@mkdir -p $(@D)
	$(call say,CC $@)
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<
$(BUILD)/mockd: $(MOCK_SRC:tests/mock/%.c=$(BUILD)/mock/%.o)
	$(call say,CC $@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lhttp_parser -lcjson -lcrypto -lm

PGXS_ARGS = PG_CONFIG=$(PG_CONFIG) PK_BUILD=$(abspath $(BUILD))
no_pgxs := $(PG_CONFIG) leads to no Postgres to build for; install postgresql-server-dev-all, or give PG_CONFIG=/path/to/pg_config
no-pg:
	@echo "make: the Postgres extension is left out: $(no_pgxs)" >&2
pgxs:
	$(if $(PGXS),,$(error $(no_pgxs)))
pg: pgxs $(BUILD)/libpk.a
	$(Q)$(MAKE) $(if $(V),,-s) --no-print-directory -C ext-pg $(PGXS_ARGS) all
install-pg: pg
	$(MAKE) -C ext-pg $(PGXS_ARGS) install
uninstall-pg: pgxs
	$(MAKE) -C ext-pg $(PGXS_ARGS) uninstall
include tools/packaging/install.mk

# --- tests ---------------------------------------------------------------------------------

$(BUILD)/t/%.o: shared/%.c | $(GEN)
	@mkdir -p $(@D)
	$(call say,CC $@)
	$(Q)$(CC) $(CFLAGS) $(INCLUDES) -Itests -c -o $@ $<
$(BUILD)/t/%.o: tests/%.c | $(GEN)
	@mkdir -p $(@D)
	$(call say,CC $@)
	$(Q)$(CC) $(CFLAGS) $(INCLUDES) -Itests -c -o $@ $<
$(BUILD)/t/%: $(BUILD)/t/%.o $(BUILD)/libpk.a
	$(Q)$(CC) -o $@ $@.o $(BUILD)/libpk.a $(LDFLAGS) -lcjson -lsqlite3 $(LIBS)
$(BUILD)/t/jwt_test $(BUILD)/t/token_test: LIBS += -lcrypto

# The SQLite engine of a program that knows one migration more, and the tables of the first version.
$(BUILD)/gen99/schema.inc: tests/migrate/0099_test.sql $(BUILD)/gen/schema.inc
	@mkdir -p $(@D)
	$(Q)awk -f sql/build.awk -v what=schema sql/schema.sql $(sort $(wildcard sql/migrate/*.sql)) $< \
	    sql/prices.csv sql/models.csv > $@.tmp && mv $@.tmp $@
$(BUILD)/gen99/first.inc: tests/first_schema.sql sql/build.awk
	@mkdir -p $(@D)
	$(Q)awk -f sql/build.awk -v what=schema $< > $@.tmp && mv $@.tmp $@
$(BUILD)/t/store_migrate: tests/store_migrate.c shared/store_sqlite.c $(BUILD)/gen99/schema.inc \
                          $(BUILD)/gen99/first.inc $(BUILD)/libpk.a tests/test.h tests/test_store.h
	@mkdir -p $(@D)
	$(call say,CC $@)
	$(Q)$(CC) $(CFLAGS) -I$(BUILD)/gen99 $(INCLUDES) -c -o $@.engine.o shared/store_sqlite.c
	$(call say,CC $@)
	$(Q)$(CC) $(CFLAGS) $(INCLUDES) -I$(BUILD)/gen99 -Itests -o $@ $< $@.engine.o $(BUILD)/libpk.a $(LDFLAGS) -lsqlite3 $(LIBS)

# Preloaded by tests: memory that runs out on purpose.
$(BUILD)/failing.so: tests/regress/failing.c
	@mkdir -p $(@D)
	$(call say,CC $@)
	$(Q)$(CC) $(filter-out -fsanitize%,$(CFLAGS)) -fvisibility=default -shared -o $@ $<

unit: $(UNIT) $(BUILD)/failing.so
.SECONDARY: $(UNIT:%=%.o)

# Packages first, also with -j; then another make builds, with all processors where nobody said with how many.
check: deps
	$(Q)$(MAKE) $(if $(filter -j%,$(MAKEFLAGS)),,-j$(or $(shell nproc 2>/dev/null),1)) $(if $(V),,-s) --no-print-directory all unit
	BUILD=$(BUILD) PYTHON=$(PYTHON) PG_CONFIG=$(PG_CONFIG) tests/all $(BUILD)
san:
	$(MAKE) SAN=1 BUILD=build-san check-san
sdk: deps-sdk
	$(Q)$(MAKE) $(if $(V),,-s) --no-print-directory all
	$(PYTHON) tests/e2e/sdk.py $(BUILD) --install
	$(PYTHON) tests/e2e/seeds.py $(BUILD)
	BUILD=$(BUILD) PG_CONFIG=$(PG_CONFIG) $(PYTHON) tests/e2e/dbt.py $(BUILD) --install
	BUILD=$(BUILD) PG_CONFIG=$(PG_CONFIG) $(PYTHON) tests/e2e/notebook.py $(BUILD) --install
check-san: deps
	$(Q)$(MAKE) $(if $(V),,-s) --no-print-directory core unit \
	    $(if $(EXT_SRC),$(BUILD)/pk.so) $(if $(PKD_SRC),$(BUILD)/pkd) $(BUILD)/mockd
	$(Q)$(MAKE) $(if $(V),,-s) --no-print-directory SAN= BUILD=$(BUILD)/plain $(BUILD)/plain/pk.so \
	    $(if $(wildcard ext-pg/Makefile),pg)
	BUILD=$(BUILD) PYTHON=$(PYTHON) tests/all --san $(BUILD)

tsan:
	$(MAKE) SAN=thread BUILD=build-tsan check-tsan
check-tsan: deps
	$(Q)$(MAKE) $(if $(V),,-s) --no-print-directory core $(BUILD)/pkd
	$(Q)$(MAKE) $(if $(V),,-s) --no-print-directory SAN= BUILD=$(BUILD)/plain $(BUILD)/plain/mockd \
	    $(BUILD)/plain/pk.so $(if $(wildcard ext-pg/Makefile),pg)
	$(Q)ln -sf plain/mockd plain/pk.so $(BUILD)
	PYTHON=$(PYTHON) tests/tsan $(BUILD)

lint: deps-lint
	$(Q)$(MAKE) $(if $(V),,-s) --no-print-directory gen
	BUILD=$(BUILD) tools/lint
fuzz: deps-lint
	BUILD=$(BUILD) CLANG=$(CLANG) tests/fuzz/run
$(BUILD)/bench-%: tests/bench/%.c $(BUILD)/libpk.a tests/loopback.h
	$(call say,CC $@)
	$(Q)$(CC) $(CFLAGS) $(INCLUDES) -Itests -o $@ $< $(BUILD)/libpk.a $(LDFLAGS) $(LIBS)
$(BUILD)/bench-writer: LIBS += -lsqlite3
$(BUILD)/bench-xfer: LIBS += -lcurl
bench bench-report: deps-bench
	$(Q)$(MAKE) $(if $(V),,-s) --no-print-directory all \
	    $(addprefix $(BUILD)/bench-,xfer near route checks guard dialect codec streams writer)
	BUILD=$(BUILD) PYTHON=$(PYTHON) PG_CONFIG=$(PG_CONFIG) $(PYTHON) tests/bench/run \
	    --json $(BUILD)/bench.json $(if $(filter bench-report,$@),--report docs)
demo: deps-demo
	$(Q)$(MAKE) $(if $(V),,-s) --no-print-directory all
	BUILD=$(BUILD) PYTHON=$(PYTHON) PG_CONFIG=$(PG_CONFIG) tools/demo

clean:
	rm -rf build build-san build-tsan
	$(if $(wildcard ext-pg/Makefile),-$(MAKE) -C ext-pg $(PGXS_ARGS) clean)

.PHONY: all core gen pgxs pg no-pg unit check sdk san check-san tsan check-tsan lint fuzz bench bench-report demo install-pg uninstall-pg clean
.SECONDARY:
-include $(wildcard $(BUILD)/*/*.d)
