# install.mk - make install, uninstall and deb. The manual and the completions are printed by the
# program itself.

LIBDIR    ?= $(PREFIX)/lib
SHAREDIR  ?= $(PREFIX)/share
UNITDIR   ?= $(PREFIX)/lib/systemd/system
SYSUSERS  ?= $(PREFIX)/lib/sysusers.d
ZSHDIR    ?= $(SHAREDIR)/zsh/site-functions

# What is installed: place, mode, and what it is made of.
PRINTED := $(BUILD)/share/pkd.1 $(BUILD)/share/pkd.bash $(BUILD)/share/pkd.zsh \
           $(BUILD)/share/pkd.fish $(BUILD)/share/pkd.service
INSTALLED := $(PREFIX)/bin/pkd $(LIBDIR)/pk.so $(SHAREDIR)/man/man1/pkd.1 \
             $(SHAREDIR)/bash-completion/completions/pkd $(ZSHDIR)/_pkd \
             $(SHAREDIR)/fish/vendor_completions.d/pkd.fish \
             $(UNITDIR)/pkd.service $(UNITDIR)/pkd.socket $(SYSUSERS)/pkd.conf

DBT := $(wildcard $(addprefix sql/dbt/,*.md *.yml macros/*.sql tests/generic/*.sql example/*.yml \
       example/models/*.yml example/models/*.sql example/seeds/*.csv))

$(BUILD)/share/pkd.1: $(BUILD)/pkd
	@mkdir -p $(@D)
	$(Q)$< manual man > $@.tmp && mv $@.tmp $@
$(BUILD)/share/pkd.bash $(BUILD)/share/pkd.zsh $(BUILD)/share/pkd.fish: $(BUILD)/share/pkd.%: $(BUILD)/pkd
	@mkdir -p $(@D)
	$(Q)$< completion $* > $@.tmp && mv $@.tmp $@
# Another PREFIX makes another unit.
$(BUILD)/share/pkd.service: tools/packaging/pkd.service.in FORCE
	@mkdir -p $(@D)
	$(Q)sed 's|@BINDIR@|$(PREFIX)/bin|' $< > $@
FORCE:

install: $(BUILD)/pk.so $(BUILD)/pkd $(PRINTED)
	install -Dm755 $(BUILD)/pkd $(DESTDIR)$(PREFIX)/bin/pkd
	install -Dm644 $(BUILD)/pk.so $(DESTDIR)$(LIBDIR)/pk.so
	install -Dm644 $(BUILD)/share/pkd.1 $(DESTDIR)$(SHAREDIR)/man/man1/pkd.1
	install -Dm644 $(BUILD)/share/pkd.bash $(DESTDIR)$(SHAREDIR)/bash-completion/completions/pkd
	install -Dm644 $(BUILD)/share/pkd.zsh $(DESTDIR)$(ZSHDIR)/_pkd
	install -Dm644 $(BUILD)/share/pkd.fish $(DESTDIR)$(SHAREDIR)/fish/vendor_completions.d/pkd.fish
	install -Dm644 $(BUILD)/share/pkd.service $(DESTDIR)$(UNITDIR)/pkd.service
	install -Dm644 tools/packaging/pkd.socket $(DESTDIR)$(UNITDIR)/pkd.socket
	install -Dm644 tools/packaging/pkd.sysusers $(DESTDIR)$(SYSUSERS)/pkd.conf
	for f in $(DBT:sql/%=%); do install -Dm644 sql/$$f $(DESTDIR)$(SHAREDIR)/pk/$$f || exit 1; done
uninstall:
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	rm -rf $(DESTDIR)$(SHAREDIR)/pk

deb: $(BUILD)/pk.so $(BUILD)/pkd
	$(Q)MAKE="$(MAKE)" BUILD=$(BUILD) tools/packaging/deb

.PHONY: install uninstall deb FORCE
