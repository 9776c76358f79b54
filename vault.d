vault.o: shared/vault.c shared/vault.h shared/arena.h shared/base.h \
  shared/errors.def

shared/vault.h:

shared/arena.h:

shared/base.h:

shared/errors.def:
