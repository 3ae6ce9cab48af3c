// What each error code means: its status, its title, and how to get out of it. One entry per code.

import type { ErrorCode } from '../domain/errors.ts'

export interface ProblemKind {
  status: number
  /** The same for every problem of this code. */
  title: string
  /** Paragraphs in plain text; names in backticks. */
  explanation: readonly string[]
  /** The `detail` of a typical problem of this code. */
  example: string
}

/** In the order of a request's way through the service. */
export const problemKinds = {
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
  idempotency_mismatch: {
    status: 422,
    title: 'The Idempotency-Key was used for another request',
    explanation: [
      'A request with the same `Idempotency-Key` but another method, path or body was carried out before. Nothing was done this time.',
      'Use a new key for a new effect, and the same key only to repeat the very same request.',
    ],
    example: 'This Idempotency-Key was used for another request: use a new key.',
  },
  idempotency_in_progress: {
    status: 409,
    title: 'The same request is still running',
    explanation: [
      'A request with this `Idempotency-Key` arrived before and has not been answered yet.',
      'Wait for as many seconds as `Retry-After` says, then send the same request with the same key: it gets the stored answer.',
    ],
    example: 'A request with this Idempotency-Key is still running: repeat it after a second.',
  },
  revision_mismatch: {
    status: 412,
    title: 'The flow has another revision',
    explanation: [
      '`If-Match` named revision `expected`, but the flow is at revision `actual`: somebody changed it since it was read. Nothing was done.',
      'Read the flow, decide anew on what it is now, and send the request with its present `ETag`.',
    ],
    example: 'The flow is at revision 4, not 3: read it and decide anew.',
  },
  precondition_failed: {
    status: 412,
    title: 'It is there already',
    explanation: [
      '`If-None-Match: *` asks for something to be made only if there is nothing yet, and there is. Nothing was changed.',
      'Read what is there, which another attempt has recorded, and go on with that.',
    ],
    example: 'Something is recorded under this key already. Read it and go on with that.',
  },
  already_terminal: {
    status: 409,
    title: 'The flow has ended',
    explanation: [
      'A flow that is `finished`, `failed` or `cancelled` stays so for good; only its labels can change. Nothing was done.',
      'Its events tell how it came to its end. Create a new flow to go on.',
    ],
    example: 'This flow is finished, which is final. Create a new flow to go on.',
  },
  cancel_pending: {
    status: 409,
    title: 'A cancel was requested for the flow',
    explanation: [
      'Once a cancel has been requested, a flow goes nowhere else. The service cancels it as soon as nothing runs for it.',
      'Send `cancel` to end it at once.',
    ],
    example: 'A cancel was requested for this flow: only cancel is possible now.',
  },
  illegal_transition: {
    status: 409,
    title: 'The flow cannot go from its status to that one',
    explanation: [
      'Flows go from `created` to `running`; from `running` to `waiting`, `finished` or `failed`; from `waiting` to `running` or `failed`; and from each of these to `cancelled`.',
      '`from` is the present status, `to` the one that was asked for, `allowed` lists where the flow can go. `next_actions` are requests that are legal now.',
    ],
    example: 'A created flow cannot become waiting by this request: it must be running.',
  },
  stale_wait: {
    status: 409,
    title: 'The flow does not stand in this wait any more',
    explanation: [
      'The request named a wait by its id (`expected`), and that wait is over. `actual` is the id of the present wait, or null when the flow waits for nothing.',
      'Read the flow and decide anew. Leave `wait_id` out to end whichever wait is present.',
    ],
    example: 'This wait is over. Read the flow for its present wait, or leave wait_id out.',
  },
  wait_conflict: {
    status: 409,
    title: 'The flow’s wait does not take this request',
    explanation: [
      'The request fits another kind of wait or step than the flow has: only a timer can be moved, and only a mirrored step is observed.',
      'Read the flow to see what it waits for.',
    ],
    example: 'Only a timer can be moved, and this flow does not wait on one.',
  },
  step_conflict: {
    status: 409,
    title: 'The step does not take this request',
    explanation: [
      'The request fits a step in another status, or of another runtime: only a dead step is retried, only a managed one is settled by an operator, only a mirrored one is observed. Nothing was done.',
      '`step_status` is the present status of the step `step_id`. Read it, or list the steps of its flow.',
    ],
    example: 'Only a dead step, which is failed, is retried.',
  },
  lease_lost: {
    status: 409,
    title: 'The lease of this step is over',
    explanation: [
      'A claim gives a step to a worker for a time, under a `lease_token`. This token is not that of the newest claim: the lease ran out and the step was given to another worker, or it was settled already, or released.',
      'Drop the result: whoever has the step now reports it. Send heartbeats in less than a third of the lease, or ask for a longer one. Side effects of a run should be such that they can happen twice.',
    ],
    example:
      'This lease is over: the step was given to another worker or is settled. Drop the result.',
  },
  key_conflict: {
    status: 409,
    title: 'An open flow has this key',
    explanation: [
      'A `key` belongs to one open flow of its namespace at a time; `flow_id` names that flow. Nothing was created.',
      'Use that flow, send `on_conflict: "use_existing"` to be answered with it, or wait until it has ended.',
    ],
    example: 'An open flow has the key order-42 already: use it, or end it first.',
  },
  already_exists: {
    status: 409,
    title: 'There is one with this id already',
    explanation: [
      'Something of this kind has this id in the namespace; `resource` says what, `id` which. Nothing was changed.',
      'Choose another id, or replace what is there with `PUT`.',
    ],
    example: 'There is a source github already: choose another id, or replace it with PUT.',
  },
  hook_disabled: {
    status: 409,
    title: 'The hook is disabled',
    explanation: [
      'Nothing is sent to a hook that is disabled; `reason` says why it is. Its receiver answered 410, nothing reached it for days, or somebody disabled it.',
      'See that its receiver works, enable it with `PATCH /hooks/{hook_id}` and `{"enabled": true}`, and send the same request again.',
    ],
    example: 'This hook is disabled, so nothing is sent to it. Enable it with PATCH first.',
  },
  gone: {
    status: 410,
    title: 'The link does not work any more',
    explanation: [
      'A link ends one wait, once. This one was used, its time is over, or the wait has ended in another way. Nothing was done.',
      '`decided` says what was decided and when: `by` is `link` when somebody used the link, with the `payload` that was sent; `expiry` when its time ran out; else what ended the wait, such as `signal`, `timer`, `timeout` or `cancelled`.',
      'Whoever drives the flow can let it wait again, with a new link.',
    ],
    example: 'This link was used already: what was decided stands in decided.',
  },
  loop_detected: {
    status: 508,
    title: 'Deliveries of hooks go round in circles',
    explanation: [
      'The header `Taskflow-Depth` says how many deliveries led to this request, one after the other: `depth` of them. From `maximum` on nothing is changed, because a hook seems to cause what it is told of. Nothing was done.',
      'Look at the receiver: what it does with this service must not cause the events that its hook asks for. Let the hook ask for fewer `kinds`, for one controller or for some labels.',
      'Receivers that call this service hand the header on, as they got it.',
    ],
    example: 'A hook causes what it is told of: let it ask for fewer kinds of events.',
  },
  quota_exceeded: {
    status: 429,
    title: 'There is no room for more of these',
    explanation: [
      '`limit` names what there may be only so many of, `maximum` is how many: `kept_signals` for signals that nobody has taken yet, `streams_per_caller` for open event streams, `namespace_open_flows`, `namespace_open_steps`, `namespace_state_bytes` and `namespace_kept_signals` for all that a namespace may have. Nothing was done.',
      'Signals: let a flow take some of those that are kept, or send `ttl: "PT0S"` when one that nobody waits for need not be kept. Streams: close what is not needed any more. Or ask the operator of the service to raise the limit.',
    ],
    example: '1000 signals are kept here already. Send it again when a flow has taken some.',
  },
  overloaded: {
    status: 503,
    title: 'The service has too much to do',
    explanation: [
      'More requests are queued than the service takes in. Nothing was done.',
      'Send the same request again after as many seconds as `Retry-After` says, and fewer at a time.',
    ],
    example: 'Too many changes are queued: repeat this one after a second.',
  },
  unavailable: {
    status: 503,
    title: 'The service cannot answer at the moment',
    explanation: [
      'The database cannot be reached, the answer took too long, or the service is stopping. The process lives and heals by itself.',
      'The request may have taken effect. Repeat it after as many seconds as `Retry-After` says: with the same `Idempotency-Key` it never takes effect twice.',
    ],
    example: 'The database cannot be reached at the moment. Send the same request again shortly.',
  },
  internal: {
    status: 500,
    title: 'The service failed',
    explanation: [
      'This is a defect of the service, not of the request. The log of the service says more under the same `request_id`.',
      'Please report it with that id.',
    ],
    example: 'The service failed on this request. Report the request id.',
  },
} as const satisfies Record<ErrorCode, ProblemKind>

/** Every code, in the order of the catalogue. */
export const problemCodes: readonly ErrorCode[] = Object.keys(problemKinds).filter(isErrorCode)

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(problemKinds, text)
}
