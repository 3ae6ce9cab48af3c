// How the service connects to a host outside: only to addresses that were checked a moment before.

import { lookup as systemLookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import type { FlowError } from '../domain/errors.ts'
import { isPublicAddress } from './net-guard.ts'
import { codeOf, unresolved } from './outbound-failure.ts'
import { literalAddress, notAllowed } from './outbound-url.ts'

/** All addresses of a name. Rejects when there is none. */
export type ResolveName = (name: string) => Promise<readonly string[]>

export interface ConnectOptions {
  allowPrivate: boolean
  /** Instead of the system's resolver. */
  resolveName?: ResolveName | undefined
  /** Authorities to trust instead of the system's, as PEM. */
  ca?: string | undefined
}

/**
 * No socket outlives this before it is connected, in milliseconds: a request that was given up earlier
 * leaves its socket behind until then.
 */
const longestConnect = 10_000

/**
 * Makes the connector of an agent. A name is resolved once for each connection, refused when any of
 * its addresses is not public, and connected to by the very addresses that were checked: a resolver
 * that answers differently a moment later (DNS rebinding) is not asked again.
 *
 * A refusal fails the connection with a FlowError `url_not_allowed`.
 */
export function createConnector({
  allowPrivate,
  resolveName = resolveBySystem,
  ca,
}: ConnectOptions): buildConnector.connector {
  const lookup: LookupFunction = (name, { all }, callback) => {
    checkedAddresses(name, resolveName, allowPrivate).then(
      (addresses) => {
        const found = addresses.map((address) => ({ address, family: isIP(address) }))
        if (all) callback(null, found)
        else callback(null, found[0]?.address ?? '', found[0]?.family)
      },
      (error: Error) => callback(error, []),
    )
  }
  const connect = buildConnector({
    lookup,
    timeout: longestConnect,
    // The default of a quarter of a second gives up a far receiver for its next address, which is often a dead one.
    autoSelectFamilyAttemptTimeout: 1_000,
    ...(ca !== undefined && { ca }),
  })
  return (target, callback) => {
    // Node asks no resolver for an address: without this it would go unchecked.
    const address = literalAddress(target.hostname)
    if (address !== null && !allowPrivate && !isPublicAddress(address)) {
      callback(addressNotAllowed(target.hostname), null)
    } else connect(target, callback)
  }
}

/** One that is not public spoils them all: which one a connection takes is up to the network. */
async function checkedAddresses(
  name: string,
  resolveName: ResolveName,
  allowPrivate: boolean,
): Promise<readonly string[]> {
  const addresses = await resolveName(name).catch((cause: unknown) => {
    throw unresolved(codeOf(cause) ?? 'ENOTFOUND', cause)
  })
  if (addresses.length === 0) throw unresolved('ENOTFOUND')
  if (!allowPrivate && !addresses.every(isPublicAddress)) throw addressNotAllowed(name)
  return addresses
}

/** The address is not told: it would let outsiders map the network of the service. */
function addressNotAllowed(host: string): FlowError {
  return notAllowed(
    'address',
    'The host has an address that is not of the public Internet: use one that has none.',
    host,
  )
}

async function resolveBySystem(name: string): Promise<readonly string[]> {
  const found = await systemLookup(name, { all: true })
  return found.map(({ address }) => address)
}
