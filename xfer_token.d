xfer_token.o: shared/xfer_token.c shared/http.h shared/base.h \
  shared/errors.def shared/xfer_inner.h shared/sign.h shared/url.h \
  shared/token.h shared/arena.h shared/json.h shared/buf.h \
  shared/vault.h shared/xfer.h shared/call.h shared/cachekey.h \
  shared/config.h shared/circuit.h shared/route.h shared/figure.h \
  shared/guard.h shared/models.h shared/params.h shared/privacy.h \
  shared/pii.h shared/record.h shared/limit.h shared/usage.h \
  shared/provider.h shared/dialect.h shared/framing.h \
  shared/eventstream.h shared/sse.h shared/lines.h shared/target_field.h \
  shared/target_fields.def shared/request.h shared/operation.h \
  shared/operations.def shared/traits.h shared/price.h shared/reserve.h \
  shared/secret.h shared/xfer_address.h

shared/http.h:

shared/base.h:

shared/errors.def:

shared/xfer_inner.h:

shared/sign.h:

shared/url.h:

shared/token.h:

shared/arena.h:

shared/json.h:

shared/buf.h:

shared/vault.h:

shared/xfer.h:

shared/call.h:

shared/cachekey.h:

shared/config.h:

shared/circuit.h:

shared/route.h:

shared/figure.h:

shared/guard.h:

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

shared/request.h:

shared/operation.h:

shared/operations.def:

shared/traits.h:

shared/price.h:

shared/reserve.h:

shared/secret.h:

shared/xfer_address.h:
