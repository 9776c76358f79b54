jwt_sign.o: shared/jwt_sign.c shared/jwt.h shared/json.h shared/arena.h \
  shared/base.h shared/errors.def shared/buf.h

shared/jwt.h:

shared/json.h:

shared/arena.h:

shared/base.h:

shared/errors.def:

shared/buf.h:
