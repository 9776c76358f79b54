xfer_auth.o: shared/xfer_auth.c shared/http.h shared/base.h \
  shared/errors.def shared/place.h shared/config.h shared/arena.h \
  shared/circuit.h shared/route.h shared/figure.h shared/guard.h \
  shared/buf.h shared/json.h shared/models.h shared/params.h \
  shared/privacy.h shared/pii.h shared/record.h shared/limit.h \
  shared/usage.h shared/provider.h shared/dialect.h shared/framing.h \
  shared/eventstream.h shared/sse.h shared/lines.h shared/target_field.h \
  shared/target_fields.def shared/url.h shared/xfer_inner.h \
  shared/sign.h shared/token.h shared/vault.h shared/xfer.h \
  shared/call.h shared/cachekey.h shared/request.h shared/operation.h \
  shared/operations.def shared/traits.h shared/price.h shared/reserve.h \
  shared/secret.h shared/xfer_address.h

shared/http.h:

shared/base.h:

shared/errors.def:

shared/place.h:

shared/config.h:

shared/arena.h:

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

shared/xfer_inner.h:

shared/sign.h:

shared/token.h:

shared/vault.h:

shared/xfer.h:

shared/call.h:

shared/cachekey.h:

shared/request.h:

shared/operation.h:

shared/operations.def:

shared/traits.h:

shared/price.h:

shared/reserve.h:

shared/secret.h:

shared/xfer_address.h:
