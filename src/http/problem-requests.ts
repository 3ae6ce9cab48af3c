// What the error codes mean with which a request is refused for what it is, whatever it asks for.

import type { ProblemKind } from './problem-kind.ts'

/** In the order of a request's way through the service. */
export const requestProblems = {
  bad_request: {
    status: 400,
    title: 'Not a valid HTTP request',
    explanation: [
      'The bytes that arrived are not a request by the rules of HTTP/1.1: a broken header, a missing Host, a body of another length than announced, or a path with a broken percent-encoding.',
      'HTTP libraries do not send such requests. Look for a hand-written client, a proxy in between, or TLS spoken to this plain port.',
    ],
    example: 'The path holds a percent sign that encodes nothing: write it as %25.',
  },
  request_timeout: {
    status: 408,
    title: 'The request took too long to arrive',
    explanation: [
      'The headers or the body were not complete in time, and the connection was closed. Nothing was done.',
      'Send the same request again. If it happens often, the network or a proxy holds requests back.',
    ],
    example: 'The request did not arrive in time: send it again.',
  },
  uri_too_long: {
    status: 414,
    title: 'The URL is too long',
    explanation: [
      'The path and query together exceed the limit. `maximum`, when given, is that limit in bytes.',
      'Filter by fewer values at once. A `cursor` must be sent as it was answered and never grows.',
    ],
    example: 'The URL is longer than 8192 bytes: shorten its query.',
  },
  headers_too_large: {
    status: 431,
    title: 'The headers are too large',
    explanation: [
      'All headers together exceed the limit. `maximum`, when given, is that limit in bytes.',
      'Usually cookies of other applications on the same host are to blame. This service needs none.',
    ],
    example: 'The headers are larger than 16384 bytes: send fewer or shorter ones.',
  },
  payload_too_large: {
    status: 413,
    title: 'The body is too large',
    explanation: [
      'The body exceeds `maximum` bytes. `limit` names the limit; the operator of the service sets it.',
      'Keep large data elsewhere and put a reference to it into the state of the flow.',
    ],
    example:
      'The body is larger than 1048576 bytes: keep large data elsewhere and send a reference.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'The body is not of a type that is read here',
    explanation: [
      'Bodies are JSON: send `Content-Type: application/json`, in UTF-8 and without a `Content-Encoding`. `allowed` lists what is read.',
      'With curl: `-H "content-type: application/json" -d \'{"goal":"triage inbox"}\'`. Without that header curl sends a form.',
    ],
    example: 'Send the body as application/json, not text/plain.',
  },
  malformed_json: {
    status: 400,
    title: 'The body is not JSON',
    explanation: [
      'The body could not be read as JSON in UTF-8. `detail` gives the line and column, what was expected there and what was found. Nothing was done.',
      'Frequent causes: single quotes, a comma after the last member, comments, `undefined` or `NaN`, and quotes that a shell took away.',
    ],
    example:
      'Line 1, column 20: expected a member name in quotes, found "}". Remove the comma before it.',
  },
  invalid_request: {
    status: 400,
    title: 'The request is not valid',
    explanation: [
      'A member of the body, a query parameter, a part of the path or a header is not as this request needs it. Nothing was done.',
      '`errors` says where: `pointer` is a JSON Pointer into the body, `?name` for a query parameter, `:name` for a part of the path, or the name of a header. `code` says what kind of fault it is, `did_you_mean` what was probably meant, `allowed` what may stand there.',
      'Unknown members and parameters are refused, and nothing is converted: `"5"` is not `5`. So a slip is never swallowed in silence. Faults are reported one at a time.',
    ],
    example: '"statee" is not a member here. Did you mean "state"?',
  },
  limit_exceeded: {
    status: 400,
    title: 'A limit is exceeded',
    explanation: [
      '`limit` names the limit, `maximum` is its value, and `actual`, when given, is what the request came to: `state_bytes` for the state of a flow after the merge, `labels` for the number of its labels, `json_depth` for the nesting of the body.',
      'The operator of the service sets limits. Large data belongs elsewhere, with a reference to it in the state.',
    ],
    example: 'A flow can have 32 labels: remove some by setting them to null.',
  },
  cursor_mismatch: {
    status: 400,
    title: 'The cursor belongs to another list',
    explanation: [
      'A `cursor` continues the list that it came from, with the same filter and the same sort. This one was sent with others, or was changed on its way.',
      'Send it with the parameters of the page that it came with, or leave it out to begin anew.',
    ],
    example: 'This cursor belongs to another filter: leave it out to begin anew.',
  },
  idempotency_key_invalid: {
    status: 400,
    title: 'The Idempotency-Key is not valid',
    explanation: [
      'An `Idempotency-Key` is 1 to 255 printable ASCII characters. A UUID per intended effect is a good choice.',
    ],
    example: 'Idempotency-Key takes 1 to 255 printable ASCII characters.',
  },
  url_not_allowed: {
    status: 400,
    title: 'The service does not send to this URL',
    explanation: [
      'A URL that the service shall send to has to lead to the public Internet by HTTPS. Nothing was saved. `url_host` is the host as it was understood, whichever spelling was sent.',
      '`reason` says what is wrong: `malformed` for a text that is no URL, `too_long` past 2048 characters, `scheme` for anything but `https`, `credentials` for a user or password in it, `fragment` for something behind a `#`, `trailing_dot` for a host that ends with a dot, `name` for `localhost` and names that end with `.localhost`, `.local` or `.internal`, `address` for one that is private, loopback, link-local or reserved, `port` for another than 443 and those that the operator allows.',
      'What a name resolves to is checked each time before something is sent: an attempt fails when any of its addresses is not public. Redirects are not followed.',
      'To send to a private network, or by plain HTTP, the operator of the service sets `TASKFLOW_OUTBOUND_ALLOW_PRIVATE=true`.',
    ],
    example: 'This address is not of the public Internet: use one that is, or a name.',
  },
  unauthenticated: {
    status: 401,
    title: 'The request has no valid key',
    explanation: [
      'This service wants to know who asks: send `Authorization: Bearer <key>`. The answer is the same whether the key is missing, was never valid, has expired or was revoked.',
      'Keys are made by `POST /bindings/{binding_id}/keys` and begin with `tf_`. The first key of an installation is its `TASKFLOW_ADMIN_KEY`.',
    ],
    example: 'Send a valid key: Authorization: Bearer tf_…',
  },
  forbidden: {
    status: 403,
    title: 'The key does not allow this',
    explanation: [
      'The key is valid and was not given what this request needs. `action` names it, as it stands in the `actions` of a binding; `pointer` names a member of the body that says more than the key may.',
      '`GET /bindings/self` tells what a key allows. Whoever administers bindings can add an action with `PATCH /bindings/{binding_id}`. What belongs to others is not forbidden but not there: 404.',
    ],
    example: 'This key does not allow flows:cancel. Ask for it, or use another key.',
  },
  rate_limited: {
    status: 429,
    title: 'Too many requests',
    explanation: [
      'More requests came than may: `limit` says whether from the `key`, by the rate of its binding, or from the `address`, by the configuration of the service. Nothing was done.',
      'Wait for `Retry-After` seconds and send the same request again. `RateLimit` and `RateLimit-Policy` tell on every answer how much is left. Long polls and batches need fewer requests.',
    ],
    example: 'This key may send 600 requests a minute: wait a second and send it again.',
  },
  timer_horizon_exceeded: {
    status: 400,
    title: 'The timer is too far ahead',
    explanation: [
      'The key may set timers no further ahead than `maximum_ms` milliseconds, and this one is.',
      'Choose an earlier time, or wait in several pieces: when the timer fires, the flow can wait again.',
    ],
    example: 'Timers may be 30 days ahead at most: choose an earlier time.',
  },
  signature_invalid: {
    status: 401,
    title: 'The message is not signed as its source requires',
    explanation: [
      'A message to `/in/{source_id}` did not prove that it comes from its source. Nothing was stored. The answer is the same whatever is wrong: no signature, a wrong one, or one that was made too long ago.',
      'Compare the secret of the source with the one that the sender has, and the clocks of both. `POST /sources/{source_id}/test` tells whether a sample is verified. A proxy that changes the body breaks its signature.',
    ],
    example: 'The message is not signed as its source requires, or was signed too long ago.',
  },
  not_found: {
    status: 404,
    title: 'Not found',
    explanation: [
      'There is no such path, or nothing with this id: it was never there, is gone, or belongs to another namespace, which looks the same from here.',
      'For a mistyped path `did_you_mean` is the nearest one. All paths are listed at `/docs`.',
    ],
    example: 'There is no flow with this id: check it, or list the flows.',
  },
  method_not_allowed: {
    status: 405,
    title: 'This path does not take this method',
    explanation: [
      'The path exists, but not with this method. `allowed`, and the `Allow` header, list those that it takes.',
    ],
    example: 'This path takes GET, HEAD or PATCH, not DELETE.',
  },
} as const satisfies Record<string, ProblemKind>
