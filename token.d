token.o: shared/token.c shared/token.h shared/arena.h shared/base.h \
  shared/errors.def shared/json.h shared/buf.h shared/sign.h \
  shared/url.h shared/iso.h shared/jwt.h

shared/token.h:

shared/arena.h:

shared/base.h:

shared/errors.def:

shared/json.h:

shared/buf.h:

shared/sign.h:

shared/url.h:

shared/iso.h:

shared/jwt.h:
