sign.o: shared/sign.c shared/sign.h shared/url.h shared/base.h \
  shared/errors.def shared/http.h

shared/sign.h:

shared/url.h:

shared/base.h:

shared/errors.def:

shared/http.h:
