import { type Static, Type } from 'typebox'
import { duration, durationOrOff, flag, integer, oneOf, text, textOf } from './config-fields.ts'

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** Every variable of the service. `.env.example` is held against it by a test. */
export const configSchema = Type.Object({
  PORT: integer(3000, 0, 65_535, 'TCP port of the HTTP server; 0 takes a free one.'),
  HOST: Type.String({
    default: '127.0.0.1',
    minLength: 1,
    description: 'Address to listen on. Anything but loopback needs TASKFLOW_ADMIN_KEY.',
  }),
  TASKFLOW_ADMIN_KEY: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'The key of the first administrator, 24 characters or more, such as the output of: openssl rand -hex 32. Without it everybody on this machine may do everything, and nobody else can connect.',
    }),
  ),
  TASKFLOW_KEY_ENV: textOf(
    'live',
    'What new keys are marked with, as in tf_live_…: lower-case letters and digits, 16 at most.',
  ),
  DATABASE_URL: text(
    'postgres:// URL of PostgreSQL 15 or newer. Without it an embedded PostgreSQL is started.',
  ),
  DATABASE_URL_DIRECT: text(
    'The same database past a transaction pooler, for LISTEN and migrations. DATABASE_URL when absent.',
  ),
  TASKFLOW_PUBLIC_URL: text(
    'The http:// or https:// URL that third parties reach the service under; addresses that are given to them begin with it.',
  ),
  TASKFLOW_DATA_DIR: text(
    'Where the embedded PostgreSQL keeps its data; .data in the checkout when absent.',
  ),
  TASKFLOW_DOCS: Type.Union(
    (['open', 'key', 'off'] as const).map((who) => Type.Literal(who)),
    {
      default: 'open',
      description:
        'Who may read /docs and /openapi.json: everybody (open), whoever sends a key (key), nobody (off).',
    },
  ),
  TASKFLOW_CORS_ORIGINS: text(
    'Origins whose pages may use the API from browsers, separated by commas, such as https://app.example.com. None when absent.',
  ),
  TASKFLOW_TRUST_PROXY: text(
    'Addresses of reverse proxies, separated by commas, such as 10.0.0.0/8: what they say of the address of a caller is believed. Nobody is when absent.',
  ),
  TASKFLOW_ADDRESS_RATE: integer(
    0,
    0,
    1_000_000,
    'Requests per minute of one address (of a /64 in IPv6), a sixth of them at once; past it, 429. 0: no limit.',
  ),
  TASKFLOW_SHED_DELAY: duration(
    'PT0.5S',
    'PT0S',
    'Mean delay of the event loop past which requests are refused with 503; PT0S refuses none.',
  ),
  TASKFLOW_EMBEDDED_PORT: Type.Optional(
    integer(
      5433,
      1,
      65_535,
      'TCP port of the embedded PostgreSQL on 127.0.0.1, for psql; none when absent.',
    ),
  ),
  MIGRATE_ON_START: flag(
    true,
    'Bring the schema up to date at start. With false, run npm run migrate.',
  ),
  TASKFLOW_START_TIMEOUT: duration(
    'PT30S',
    'PT0S',
    'How long to wait at start for a database that does not answer.',
  ),
  LOG_LEVEL: Type.Union(
    logLevels.map((level) => Type.Literal(level)),
    { default: 'info', description: 'How much to log.' },
  ),
  TASKFLOW_BODY_LIMIT_BYTES: integer(1_048_576, 1_024, 16_777_216, 'Largest request body.'),
  TASKFLOW_INBOUND_LIMIT_BYTES: integer(
    1_048_576,
    1_024,
    16_777_216,
    'Largest body of a webhook to /in.',
  ),
  TASKFLOW_JSON_DEPTH: integer(32, 4, 100, 'Deepest nesting of a request body.'),
  TASKFLOW_STATE_LIMIT_BYTES: integer(
    262_144,
    1_024,
    4_194_304,
    'Largest state of a flow, as JSON.',
  ),
  TASKFLOW_LABELS_LIMIT: integer(32, 0, 256, 'Labels of a flow.'),
  TASKFLOW_OPEN_STEPS_LIMIT: integer(1_000, 1, 10_000, 'Steps of one flow that are not settled.'),
  TASKFLOW_STEP_LIMIT_BYTES: integer(
    262_144,
    1_024,
    4_194_304,
    'Largest input, result or checkpoint of a step, and largest memo, as JSON.',
  ),
  TASKFLOW_NAMESPACE_FLOWS_LIMIT: integer(
    0,
    0,
    1_000_000_000,
    'Open flows of one namespace; past it, 429. 0: no limit.',
  ),
  TASKFLOW_NAMESPACE_STEPS_LIMIT: integer(
    0,
    0,
    1_000_000_000,
    'Open steps of one namespace; past it, 429. 0: no limit.',
  ),
  TASKFLOW_NAMESPACE_SIGNALS_LIMIT: integer(
    0,
    0,
    1_000_000_000,
    'Signals kept in one namespace; past it, 429 for what nobody waits for. 0: no limit.',
  ),
  TASKFLOW_NAMESPACE_HOOKS_LIMIT: integer(
    0,
    0,
    1_000_000_000,
    'Hooks of one namespace, for all of its flows and for single ones that are open; past it, 429. 0: no limit.',
  ),
  TASKFLOW_NAMESPACE_STREAMS_LIMIT: integer(
    0,
    0,
    100_000,
    'Event streams that one namespace has open at a time in this process; past it, 429. 0: no limit.',
  ),
  TASKFLOW_NAMESPACE_LIMIT_BYTES: integer(
    0,
    0,
    999_999_999_999_999,
    'State, steps and memos of the open flows of one namespace, and payloads of its kept signals, together; past it, 429. 0: no limit.',
  ),
  TASKFLOW_MEMOS_LIMIT: integer(1_000, 1, 100_000, 'Memos of one flow.'),
  TASKFLOW_SIGNAL_TTL: duration(
    'P1D',
    'PT0S',
    'How long a signal that finds no wait is kept when its sender does not say.',
  ),
  TASKFLOW_SIGNAL_TTL_MAX: duration('P30D', 'PT1S', 'The longest that a sender may ask for.'),
  TASKFLOW_KEPT_SIGNALS_LIMIT: integer(
    1_000,
    1,
    10_000,
    'Signals kept for one topic and correlation id, or by name for one flow; past it, 429.',
  ),
  TASKFLOW_SIGNAL_PAYLOAD_LIMIT_BYTES: integer(
    262_144,
    1_024,
    4_194_304,
    'Largest payload of a signal, as JSON.',
  ),
  TASKFLOW_SIGNAL_RETENTION: duration(
    'P30D',
    'PT1S',
    'How long delivered and expired signals are known, so that a redelivery is a duplicate.',
  ),
  TASKFLOW_FLOW_RETENTION: durationOrOff(
    'P90D',
    'PT1M',
    'How long flows and all that belongs to them are kept after their end; off: for ever, but for those that say otherwise.',
  ),
  TASKFLOW_FLOW_RETAIN_MIN: duration('P1D', 'PT0S', 'The least that a flow may ask to be kept.'),
  TASKFLOW_FLOW_RETAIN_MAX: duration('P3650D', 'PT1M', 'The most that a flow may ask to be kept.'),
  TASKFLOW_REQUEST_TIMEOUT: duration('PT30S', 'PT1S', 'For a request to arrive whole.'),
  TASKFLOW_HEADERS_TIMEOUT: duration(
    'PT10S',
    'PT0.5S',
    'For the headers of a request; shorter than TASKFLOW_REQUEST_TIMEOUT.',
  ),
  TASKFLOW_HANDLER_TIMEOUT: duration('PT10S', 'PT1S', 'For an answer; long polls are exempt.'),
  TASKFLOW_SHUTDOWN_TIMEOUT: duration(
    'PT25S',
    'PT1S',
    'For a stop after SIGTERM; then the process exits anyway.',
  ),
  TASKFLOW_SHUTDOWN_DELAY: duration(
    'PT0S',
    'PT0S',
    'Between not ready and refusing connections, so that load balancers notice.',
  ),
  TASKFLOW_COMMIT_BATCH: integer(
    256,
    1,
    1_000,
    'Commands in one transaction; 1 gives each its own.',
  ),
  TASKFLOW_COMMIT_CONCURRENCY: integer(4, 1, 32, 'Transactions of the committer at once.'),
  TASKFLOW_QUEUE_LIMIT: integer(
    5_000,
    1,
    100_000,
    'Commands accepted and not yet answered; past it, 503.',
  ),
  TASKFLOW_READ_CONNECTIONS: integer(4, 1, 64, 'Database connections for reads.'),
  TASKFLOW_STREAMS_LIMIT: integer(2_000, 0, 100_000, 'Event streams open at a time; past it, 503.'),
  TASKFLOW_STREAMS_PER_CALLER: integer(
    1_000,
    0,
    100_000,
    'Event streams that one caller has open at a time; past it, 429. Without credentials all are one caller.',
  ),
  TASKFLOW_STREAM_HEARTBEAT: duration(
    'PT15S',
    'PT0.1S',
    'How often a stream sends a sign of life.',
  ),
  TASKFLOW_STREAM_LIFETIME: duration(
    'PT30M',
    'PT1S',
    'How long a stream lasts, at most; its client comes back by itself.',
  ),
  TASKFLOW_TICK_INTERVAL: duration('PT1S', 'PT0.01S', 'Longest sleep of the wait engine.'),
  TASKFLOW_TICK_BATCH: integer(500, 1, 5_000, 'Due flows fired in one transaction.'),
  TASKFLOW_METRICS_INTERVAL: duration(
    'PT15S',
    'PT0.1S',
    'How often it is read how much waits in the database, for /metrics.',
  ),
  TASKFLOW_ALLOW_UNSIGNED_SOURCES: flag(
    false,
    'Let webhook sources be unverified (scheme none): whoever knows their address can send.',
  ),
  TASKFLOW_MESSAGE_RETENTION: duration('P30D', 'PT1M', 'How long raw inbound messages are kept.'),
  TASKFLOW_OUTBOUND_ALLOW_PRIVATE: flag(
    false,
    'Let hooks and controllers point to private and loopback addresses, to any port and to plain http://. For development.',
  ),
  TASKFLOW_HOOK_TIMEOUT: duration('PT15S', 'PT0.1S', 'For one request of a hook, answer and all.'),
  TASKFLOW_HOOKS_LIMIT: integer(
    1_000,
    0,
    100_000,
    'Hooks for all flows of one namespace; those of single flows do not count.',
  ),
  TASKFLOW_DELIVERY_RETENTION: duration(
    'P7D',
    'PT1M',
    'How long deliveries of hooks are kept after they arrived.',
  ),
  TASKFLOW_FAILED_DELIVERY_RETENTION: duration(
    'P30D',
    'PT1M',
    'How long deliveries of hooks are kept after they failed for good.',
  ),
  TASKFLOW_TOOL_TIMER_HORIZON: duration(
    'P30D',
    'PT1S',
    'How far ahead agents may put timers with the tool; a shorter one of their key wins.',
  ),
  TASKFLOW_MCP_HOSTS: text(
    'Names, separated by commas, under which /mcp is reached, beside this machine, HOST and TASKFLOW_PUBLIC_URL.',
  ),
  NATS_URL: text(
    'nats:// or tls:// URLs of a NATS cluster, separated by commas; the first may have user:password@ or token@. Without it there is no bridge.',
  ),
  TASKFLOW_NATS_CREDENTIALS_FILE: text('A .creds file with the credentials of a NATS user.'),
  TASKFLOW_NATS_NAMESPACE: textOf('default', 'The namespace that messages of NATS belong to.'),
  TASKFLOW_NATS_STREAM: textOf(
    'taskflow-signals',
    'The JetStream stream that signals come from; off for none.',
  ),
  TASKFLOW_NATS_CREATE_STREAM: flag(true, 'Make the stream when it is not there.'),
  TASKFLOW_NATS_SUBJECT: textOf(
    'taskflow.signals.>',
    'The one subject, perhaps with wildcards, whose messages are taken.',
  ),
  TASKFLOW_NATS_DURABLE: textOf(
    'taskflow',
    'The durable consumer that all processes share, and the queue group of requests.',
  ),
  TASKFLOW_NATS_MAX_DELIVER: integer(
    5,
    1,
    100,
    'How often a message that fails by itself is tried before it is set aside.',
  ),
  TASKFLOW_NATS_TOPIC: text(
    'Template of the topic, as {subject}. The whole message is then the payload; {subject} when only the correlation id is given.',
  ),
  TASKFLOW_NATS_CORRELATION_ID: text(
    'Template of the correlation id, as {subject:3}, {header:Order} or {/order/id}.',
  ),
  TASKFLOW_NATS_REQUEST_SUBJECT: textOf(
    'taskflow.signal',
    'Where requests over core NATS are answered; off for nowhere.',
  ),
  TASKFLOW_NATS_EVENTS: flag(
    false,
    'Publish every audit event to taskflow.events.<namespace>.<kind>.',
  ),
  OTEL_EXPORTER_OTLP_ENDPOINT: text(
    'URL of an OpenTelemetry collector, as http://127.0.0.1:4318: traces are sent there. Without it there are none. Other variables of OpenTelemetry (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS) hold too.',
  ),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: text('The same for traces alone, with its path.'),
  OTEL_EXPORTER_OTLP_PROTOCOL: oneOf(['http/protobuf', 'http/json'], 'How traces are sent.'),
  OTEL_TRACES_EXPORTER: oneOf(['otlp', 'none'], 'Whether traces are sent.'),
  OTEL_SDK_DISABLED: flag(false, 'Send no traces, whatever else is set.'),
})

export type Config = Readonly<Static<typeof configSchema>>
