config_field.o: shared/config_field.c shared/config_inner.h \
  shared/condition.h shared/field.h shared/json.h shared/arena.h \
  shared/base.h shared/errors.def shared/buf.h shared/request.h \
  shared/operation.h shared/dialect.h shared/framing.h \
  shared/eventstream.h shared/sse.h shared/lines.h shared/usage.h \
  shared/operations.def shared/privacy.h shared/pii.h shared/record.h \
  shared/circuit.h shared/route.h shared/limit.h shared/regex.h \
  shared/config.h shared/figure.h shared/guard.h shared/models.h \
  shared/params.h shared/provider.h shared/target_field.h \
  shared/target_fields.def shared/url.h shared/sticky.h

shared/config_inner.h:

shared/condition.h:

shared/field.h:

shared/json.h:

shared/arena.h:

shared/base.h:

shared/errors.def:

shared/buf.h:

shared/request.h:

shared/operation.h:

shared/dialect.h:

shared/framing.h:

shared/eventstream.h:

shared/sse.h:

shared/lines.h:

shared/usage.h:

shared/operations.def:

shared/privacy.h:

shared/pii.h:

shared/record.h:

shared/circuit.h:

shared/route.h:

shared/limit.h:

shared/regex.h:

shared/config.h:

shared/figure.h:

shared/guard.h:

shared/models.h:

shared/params.h:

shared/provider.h:

shared/target_field.h:

shared/target_fields.def:

shared/url.h:

shared/sticky.h:
