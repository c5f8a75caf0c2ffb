import { Controller, type Type, UseGuards, UseInterceptors } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { Caller, M2MAuthGuard, type MachineCaller, RequireScopes } from 'nestjs-identity-m2m';
import type { EventAnswer } from './event.js';
import { EventHandling } from './event-handling.js';
import { BrokerSettlement } from './rabbitmq.js';

/**
 * Takes events from named machines with the scope for them.
 *
 * @param channel First part of the message names, so that several systems can share a broker.
 */
export function eventsController(channel: string): Type<object> {
  @Controller()
  @UseGuards(M2MAuthGuard)
  @UseInterceptors(BrokerSettlement)
  class EventsController {
    constructor(private readonly events: EventHandling) {}

    @MessagePattern(`${channel}.joiner`)
    @RequireScopes('joiners.write')
    joiner(@Payload() event: unknown, @Caller() sender: MachineCaller): Promise<EventAnswer> {
      return this.events.joiner(event, sender);
    }

    @MessagePattern(`${channel}.leaver`)
    @RequireScopes('leavers.write')
    leaver(@Payload() event: unknown, @Caller() sender: MachineCaller): Promise<EventAnswer> {
      return this.events.leaver(event, sender);
    }
  }
  return EventsController;
}
