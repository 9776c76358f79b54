target_field.o: shared/target_field.c shared/target_field.h shared/base.h \
  shared/errors.def shared/target_fields.def shared/http.h shared/url.h

shared/target_field.h:

shared/base.h:

shared/errors.def:

shared/target_fields.def:

shared/http.h:

shared/url.h:
