// As much of an OpenAPI 3.1 document as this service writes.

import type { ErrorCode } from '../domain/errors.ts'

export interface Reference {
  $ref: string
  /** Allowed beside a reference to a response or parameter in 3.1; it replaces the target's own. */
  description?: string
}

export interface SchemaObject {
  $ref?: string
  type?: string | string[]
  description?: string
  const?: unknown
  enum?: unknown[]
  format?: string
  pattern?: string
  required?: string[]
  properties?: Record<string, SchemaObject>
  additionalProperties?: boolean | SchemaObject
  propertyNames?: SchemaObject
  items?: SchemaObject
  oneOf?: SchemaObject[]
  discriminator?: { propertyName: string; mapping?: Record<string, string> }
  examples?: unknown[]
  [keyword: string]: unknown
}

export interface Parameter {
  name: string
  in: string
  required?: boolean
  description?: string
  style?: string
  explode?: boolean
  schema?: SchemaObject
  example?: unknown
}

export interface MediaType {
  schema: SchemaObject
  example?: unknown
  examples?: Record<string, { summary?: string; value: unknown }>
}

export interface Header {
  description: string
  schema: SchemaObject
}

export interface Response {
  description: string
  headers?: Record<string, Header | Reference>
  content?: Record<string, MediaType>
}

export interface Operation {
  operationId: string
  summary: string
  description: string
  tags: string[]
  parameters?: (Parameter | Reference)[]
  requestBody?: { required: boolean; description?: string; content: Record<string, MediaType> }
  responses: Record<string, Response | Reference>
  'x-problems'?: ErrorCode[]
  [extension: `x-${string}`]: unknown
}

export interface OpenApiDocument {
  openapi: string
  info: {
    title: string
    version: string
    description: string
    license: { name: string; identifier?: string; url?: string }
  }
  servers: { url: string; description: string }[]
  security: Record<string, string[]>[]
  tags: { name: string; description: string }[]
  paths: Record<string, Record<string, Operation>>
  components: {
    schemas: Record<string, SchemaObject>
    responses: Record<string, Response>
    parameters: Record<string, Parameter>
    headers: Record<string, Header>
    securitySchemes: Record<string, { type: string; scheme: string; description: string }>
  }
}
