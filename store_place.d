store_place.o: shared/store_place.c shared/store_place.h shared/place.h \
  shared/config.h shared/arena.h shared/base.h shared/errors.def \
  shared/circuit.h shared/route.h shared/figure.h shared/guard.h \
  shared/buf.h shared/json.h shared/models.h shared/params.h \
  shared/privacy.h shared/pii.h shared/record.h shared/limit.h \
  shared/usage.h shared/provider.h shared/dialect.h shared/framing.h \
  shared/eventstream.h shared/sse.h shared/lines.h shared/target_field.h \
  shared/target_fields.def shared/url.h

shared/store_place.h:

shared/place.h:

shared/config.h:

shared/arena.h:

shared/base.h:

shared/errors.def:

shared/circuit.h:

shared/route.h:

shared/figure.h:

shared/guard.h:

shared/buf.h:

shared/json.h:

shared/models.h:

shared/params.h:

shared/privacy.h:

shared/pii.h:

shared/record.h:

shared/limit.h:

shared/usage.h:

shared/provider.h:

shared/dialect.h:

shared/framing.h:

shared/eventstream.h:

shared/sse.h:

shared/lines.h:

shared/target_field.h:

shared/target_fields.def:

shared/url.h:
