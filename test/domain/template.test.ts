// Templates: how they are read, what they make of a message, and what they refuse.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JsonValue } from '../../src/domain/json.ts'
import { fillTemplate, parseTemplate } from '../../src/domain/template.ts'

const body: JsonValue = JSON.parse(
  `{"type": "paid", "n": 7, "half": 0.5, "yes": true, "no": false, "none": null, "list": ["a", {"b": "c"}],
    "deep": {"a/b": "slash", "m~n": "tilde", "~1": "both", "": "empty", "__proto__": {"x": "own"}}, "object": {}}`,
)
const headers = { 'x-github-event': 'push', 'content-type': 'application/json' }

function fill(
  text: string,
  from = { headers, body } as { headers: typeof headers; body?: JsonValue },
) {
  const reading = parseTemplate(text)
  if ('fault' in reading) return `template ${reading.fault}`
  const filled = fillTemplate(reading.template, { ...from, body: from.body })
  return 'text' in filled ? filled.text : `fault: ${filled.fault}`
}

describe('a template', () => {
  test.each([
    ['plain', 'plain'],
    ['', ''],
    ['stripe.{/type}', 'stripe.paid'],
    ['{/n}-{/half}-{/yes}-{/no}', '7-0.5-true-false'],
    ['{/list/0}{/list/1/b}', 'ac'],
    ['{/deep/a~1b}', 'slash'],
    ['{/deep/m~0n}', 'tilde'],
    ['{/deep/~01}', 'both'],
    ['{/deep/}', 'empty'],
    ['{/deep/__proto__/x}', 'own'],
    ['github.{header:x-github-event}', 'github.push'],
    ['{header:X-GitHub-Event}', 'push'],
    ['{{{/n}}}', '{7}'],
    ['{{/n}}', '{/n}'],
  ])('%s makes %s', (text, made) => {
    expect(fill(text)).toBe(made)
  })

  test.each([
    ['{/nothing}', 'The body has no /nothing.'],
    ['{/type/x}', 'The body has no /type/x.'],
    ['{/list/2}', 'The body has no /list/2.'],
    ['{/list/-}', 'The body has no /list/-.'],
    ['{/list/00}', 'The body has no /list/00.'],
    ['{/list/length}', 'The body has no /list/length.'],
    ['{/constructor/name}', 'The body has no /constructor/name.'],
    ['{/__proto__}', 'The body has no /__proto__.'],
    ['{/none}', '/none is null, which is no text.'],
    ['{/list}', '/list is an array, which is no text.'],
    ['{/object}', '/object is an object, which is no text.'],
    ['{header:x-absent}', 'The message has no header x-absent.'],
    ['{header:constructor}', 'The message has no header constructor.'],
  ])('%s says what the message lacks', (text, fault) => {
    expect(fill(text)).toBe(`fault: ${fault}`)
  })

  test('reads headers of a message without members, and nothing else', () => {
    expect(fill('{header:x-github-event}', { headers })).toBe('push')
    expect(fill('{/type}', { headers })).toBe(
      'fault: The body has no members, so there is no /type.',
    )
  })

  test.each([
    ['{/type', 'has a { at character 1 that is never closed'],
    ['a}b', 'has a } at character 2 that closes nothing: write }} for a brace'],
    ['{type}', 'has {type}, which is neither {/pointer} nor {header:name}'],
    ['{}', 'has {}, which is neither {/pointer} nor {header:name}'],
    ['{header:}', 'has {header:}, which is neither {/pointer} nor {header:name}'],
    ['{header:a b}', 'has {header:a b}, which is neither {/pointer} nor {header:name}'],
    ['{ /type}', 'has { /type}, which is neither {/pointer} nor {header:name}'],
    ['{/a~2}', 'has {/a~2}, where ~ must be written ~0, and / in a name ~1'],
    ['{/a~}', 'has {/a~}, where ~ must be written ~0, and / in a name ~1'],
  ])('%s is refused', (text, fault) => {
    expect(fill(text)).toBe(`template ${fault}`)
  })

  test('finds every text by its pointer, whatever the names are', () => {
    const name = fc.string({ unit: fc.constantFrom('a', '/', '~', '0', '1', ' ', 'é', '_') })
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 4 }), fc.string(), (path, value) => {
        const nested = path.reduceRight<JsonValue>(
          (inner, member) => Object.fromEntries([[member, inner]]),
          value,
        )
        const pointer = path
          .map((member) => `/${member.replaceAll('~', '~0').replaceAll('/', '~1')}`)
          .join('')
        expect(fill(`<{${pointer}}>`, { headers, body: nested })).toBe(`<${value}>`)
      }),
    )
  })

  test('without placeholders is itself, once its braces are doubled', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('{', '}', 'a', '/') }), (text) => {
        expect(fill(text.replaceAll('{', '{{').replaceAll('}', '}}'))).toBe(text)
      }),
    )
  })
})
