// Which IP addresses the service may send to: those of the public Internet, and no others.

import { BlockList, isIP } from 'node:net'

/** IPv4 that is not routed on the public Internet (IANA's registry), or has no single receiver. */
const closedNets: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8], // this host
  ['10.0.0.0', 8], // private
  ['100.64.0.0', 10], // carriers' NAT, and metadata of some clouds
  ['127.0.0.0', 8], // loopback
  ['169.254.0.0', 16], // link-local, and metadata of most clouds
  ['172.16.0.0', 12], // private
  ['192.0.0.0', 24], // protocol assignments
  ['192.0.2.0', 24], // documentation
  ['192.88.99.0', 24], // relays of 6to4
  ['192.168.0.0', 16], // private
  ['198.18.0.0', 15], // benchmarks
  ['198.51.100.0', 24], // documentation
  ['203.0.113.0', 24], // documentation
  ['224.0.0.0', 4], // multicast
  ['240.0.0.0', 4], // reserved, broadcast
]

/**
 * What global unicast is not to be sent to. All IPv6 outside of it is refused to begin with: loopback,
 * mapped and compatible IPv4, NAT64, discard, unique local, link-local, site-local, multicast.
 */
const closedNets6: readonly (readonly [string, number])[] = [
  ['2001::', 23], // protocol assignments, with Teredo, ORCHID and benchmarks
  ['2001:db8::', 32], // documentation
  ['2002::', 16], // 6to4, which carries any IPv4 address
  ['3fff::', 20], // documentation
]

const closed = new BlockList()
for (const [net, prefix] of closedNets) closed.addSubnet(net, prefix, 'ipv4')
const closed6 = new BlockList()
for (const [net, prefix] of closedNets6) closed6.addSubnet(net, prefix, 'ipv6')
const globalUnicast = new BlockList()
globalUnicast.addSubnet('2000::', 3, 'ipv6')

/**
 * Whether an address, as a resolver or the URL parser writes it, is on the public Internet. What is no
 * address, or has a zone, is not. IPv6 that embeds an IPv4 address is never public, whichever it is.
 */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !closed.check(address, 'ipv4')
    case 6:
      return (
        !address.includes('%') &&
        globalUnicast.check(address, 'ipv6') &&
        !closed6.check(address, 'ipv6')
      )
    default:
      return false
  }
}
