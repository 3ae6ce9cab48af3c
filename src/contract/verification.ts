// The wire of verification: how messages of a source prove where they come from.

import { type Static, type TProperties, Type } from 'typebox'
import { hmacAlgorithms, hmacEncodings } from '../domain/source.ts'
import {
  answerBody,
  type Component,
  count,
  duration,
  growingTexts,
  maxLengths,
  nullableText,
  oneOfTexts,
  ref,
  requestBody,
  tag,
  taggedUnion,
} from './kit.ts'

/** Live secrets of one source. */
const maxSecrets = 8

const secrets = Type.Optional(
  Type.Array(
    Type.String({
      minLength: 1,
      maxLength: maxLengths.text,
      writeOnly: true,
      description: 'A secret, as the sender shows it.',
    }),
    {
      minItems: 1,
      maxItems: maxSecrets,
      uniqueItems: true,
      description:
        'All of them are live: a message is good when one fits. Never shown again. Left out when a source is replaced: those of before stay.',
    },
  ),
)

const tolerance = Type.Optional(
  duration('How far the time of signing may be from now, before or after. `PT5M` when absent.'),
)

const header = (description: string, example: string) =>
  Type.String({
    minLength: 1,
    maxLength: 100,
    pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
    description,
    examples: [example],
  })

const exampleSecret = 'It is a Secret to Everybody'

/** The requests of the schemes that need nothing but secrets, and perhaps a tolerance. */
function plainRequest<const Scheme extends string, More extends TProperties>(
  name: string,
  scheme: Scheme,
  description: string,
  secret: string,
  more: More,
) {
  const properties = { scheme: tag(scheme), secrets, ...more }
  return requestBody(name, properties, {
    description,
    example: { scheme, secrets: [secret] } as Static<
      ReturnType<typeof Type.Object<typeof properties>>
    >,
  })
}

const StandardWebhooksVerificationRequest = plainRequest(
  'StandardWebhooksVerificationRequest',
  'standard-webhooks',
  'Signed by the Standard Webhooks specification: `webhook-id`, `webhook-timestamp`, `webhook-signature` (`svix-…` too).',
  'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  { tolerance },
)

const GithubVerificationRequest = plainRequest(
  'GithubVerificationRequest',
  'github',
  'Signed as GitHub does: `x-hub-signature-256`.',
  exampleSecret,
  {},
)

const StripeVerificationRequest = plainRequest(
  'StripeVerificationRequest',
  'stripe',
  'Signed as Stripe does: `stripe-signature`.',
  'whsec_test',
  { tolerance },
)

const SlackVerificationRequest = plainRequest(
  'SlackVerificationRequest',
  'slack',
  'Signed as Slack does: `x-slack-signature`. The question whether the address is right is answered.',
  '8f742231b10e8888abcd99yyyzzz85a5',
  { tolerance },
)

const BearerVerificationRequest = plainRequest(
  'BearerVerificationRequest',
  'bearer',
  'Not signed: the sender shows a token in `Authorization: Bearer`.',
  'a-long-random-token',
  {},
)

const HmacVerificationRequest = requestBody(
  'HmacVerificationRequest',
  {
    scheme: tag('hmac'),
    secrets,
    header: header('The header that holds the signature.', 'X-Signature'),
    algorithm: Type.Optional(oneOfTexts(hmacAlgorithms, 'The hash. `sha256` when absent.')),
    encoding: Type.Optional(
      oneOfTexts(hmacEncodings, 'How the signature is written. `hex` when absent.'),
    ),
    prefix: Type.Optional(
      Type.String({
        maxLength: 100,
        description: 'What stands before the signature in its header. Nothing when absent.',
        examples: ['sha256='],
      }),
    ),
    timestamp_header: Type.Optional(
      header('The header with the time of signing, when that is signed.', 'X-Timestamp'),
    ),
    signed_content: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: maxLengths.text,
        description:
          'What is signed, with `{body}`, `{timestamp}` and `{header:name}`. When absent `{body}`, or `{timestamp}.{body}` with a `timestamp_header`.',
        examples: ['{timestamp}.{body}'],
      }),
    ),
    tolerance,
  },
  {
    description: 'An HMAC over the body, of which the definition names the details.',
    example: { scheme: 'hmac', secrets: [exampleSecret], header: 'X-Signature', prefix: 'sha256=' },
  },
)

const NoVerificationRequest = requestBody(
  'NoVerificationRequest',
  { scheme: tag('none') },
  {
    description:
      'Not verified at all: whoever knows the address can send. Needs `TASKFLOW_ALLOW_UNSIGNED_SOURCES=true`.',
    example: { scheme: 'none' },
  },
)

export const VerificationRequestSchema = taggedUnion(
  'VerificationRequest',
  'scheme',
  [
    StandardWebhooksVerificationRequest,
    GithubVerificationRequest,
    StripeVerificationRequest,
    SlackVerificationRequest,
    HmacVerificationRequest,
    BearerVerificationRequest,
    NoVerificationRequest,
  ],
  {
    description: 'How messages shall prove where they come from.',
    example: { scheme: 'github', secrets: [exampleSecret] },
  },
)
export type VerificationRequest = Static<typeof VerificationRequestSchema>

const SecretFingerprint = answerBody(
  'SecretFingerprint',
  {
    fingerprint: Type.String({
      description: 'The first eight hexadecimal digits of the SHA-256 of the secret.',
    }),
  },
  { description: 'What tells one secret from another.', example: { fingerprint: '2bb80d53' } },
)

/** One flat record: members that a scheme does not have are null. */
export const exampleVerification = {
  scheme: 'github' as const,
  secret_count: 1,
  secrets: [{ fingerprint: '2bb80d53' }],
  tolerance: null,
  header: null,
  algorithm: null,
  encoding: null,
  prefix: null,
  timestamp_header: null,
  signed_content: null,
}

export const VerificationSchema = answerBody(
  'Verification',
  {
    scheme: growingTexts(
      ['standard-webhooks', 'github', 'stripe', 'slack', 'hmac', 'bearer', 'none'],
      'How messages are verified.',
    ),
    secret_count: count('How many secrets are live.'),
    secrets: Type.Array(ref(SecretFingerprint)),
    tolerance: nullableText({
      format: 'duration',
      examples: ['PT5M'],
      description: 'How far the time of signing may be from now; null when none is signed.',
    }),
    header: nullableText({ description: 'Of `hmac`: the header of the signature.' }),
    algorithm: nullableText({ description: 'Of `hmac`: the hash.' }),
    encoding: nullableText({ description: 'Of `hmac`: how the signature is written.' }),
    prefix: nullableText({ description: 'Of `hmac`: what stands before the signature.' }),
    timestamp_header: nullableText({ description: 'Of `hmac`: the header of the time.' }),
    signed_content: nullableText({ description: 'Of `hmac`: what is signed.' }),
  },
  {
    description: 'How messages of a source are verified. Its secrets are never shown.',
    example: exampleVerification,
  },
)
export type VerificationView = Static<typeof VerificationSchema>

export const verificationComponents: readonly Component[] = [
  StandardWebhooksVerificationRequest,
  GithubVerificationRequest,
  StripeVerificationRequest,
  SlackVerificationRequest,
  HmacVerificationRequest,
  BearerVerificationRequest,
  NoVerificationRequest,
  VerificationRequestSchema,
  SecretFingerprint,
  VerificationSchema,
]
