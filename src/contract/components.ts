// All named schemas of the wire, in the order in which the OpenAPI document lists them.

import { bindingComponents } from './binding.ts'
import { controllerComponents } from './controller.ts'
import { deliveryComponents } from './delivery.ts'
import { engineComponents } from './engine.ts'
import { eventComponents } from './event.ts'
import { explainComponents } from './explain.ts'
import { flowComponents } from './flow.ts'
import { flowBatchComponents } from './flow-batch.ts'
import { flowChangeComponents } from './flow-change.ts'
import { hookComponents } from './hook.ts'
import { inboundComponents } from './inbound.ts'
import type { Component } from './kit.ts'
import { linkComponents } from './link.ts'
import { memoComponents } from './memo.ts'
import { newStepComponents } from './new-step.ts'
import { outcomeComponents } from './outcome.ts'
import { problemComponents } from './problem.ts'
import { signalComponents } from './signal.ts'
import { sourceComponents } from './source.ts'
import { stepComponents } from './step.ts'
import { stepWorkComponents } from './step-work.ts'
import { storageComponents } from './storage.ts'
import { toolComponents } from './tool.ts'
import { verificationComponents } from './verification.ts'
import { waitComponents } from './wait.ts'

export const components: readonly Component[] = [
  ...flowComponents,
  ...flowChangeComponents,
  ...flowBatchComponents,
  ...waitComponents,
  ...signalComponents,
  ...linkComponents,
  ...sourceComponents,
  ...verificationComponents,
  ...inboundComponents,
  ...hookComponents,
  ...deliveryComponents,
  ...explainComponents,
  ...stepComponents,
  ...newStepComponents,
  ...stepWorkComponents,
  ...outcomeComponents,
  ...memoComponents,
  ...controllerComponents,
  ...eventComponents,
  ...bindingComponents,
  ...toolComponents,
  ...engineComponents,
  ...storageComponents,
  ...problemComponents,
]
