import type { ImportEvent } from '../import/import-event.js';
import { counted, duration } from './progress-text.js';
import { printable } from './printable.js';

/** An event in words; undefined for one that the progress shows. */
export function eventText(event: ImportEvent): string | undefined {
  switch (event.event) {
    case 'started':
      return event.doneBefore > 0
        ? `Importing ${printable(event.input)} into ${printable(event.service)}: done already: ${counted(event.doneBefore, 'line')}.`
        : `Importing ${printable(event.input)} into ${printable(event.service)}.`;
    case 'rejected': {
      const place = event.lastLine === undefined ? `Line ${event.line}` : `Lines ${event.line} to ${event.lastLine}`;
      return `${place}: rejected (${event.code}): ${printable(event.reason)}`;
    }
    case 'failed':
      return `Line ${event.line}: not done (${event.code}): ${printable(event.reason)}`;
    case 'paused':
      return `Paused for ${duration(event.seconds)}: ${printable(event.reason)}`;
    case 'stopping':
      return event.reason;
    case 'note':
      return printable(event.text, 2000);
    case 'summary':
      return summaryText(event);
    case 'checked':
      return `${counted(event.right, 'line')} right, ${counted(event.wrong, 'line')} wrong. Nothing was sent.`;
    case 'created':
    case 'progress':
      return undefined;
  }
}

function summaryText(summary: Extract<ImportEvent, { readonly event: 'summary' }>): string {
  const { created, replayed, rejected, failed, complete, rejectsFile } = summary;
  const lines = [
    `${counted(created + replayed, 'user')} made, ${counted(rejected, 'line')} rejected${failed > 0 ? `, ${counted(failed, 'line')} failed` : ''}.`,
  ];
  if (replayed > 0) {
    lines.push(`Of these, made by an earlier attempt whose answer did not arrive: ${counted(replayed, 'user')}.`);
  }
  if (rejectsFile !== undefined) lines.push(`Rejected lines, and why: ${printable(rejectsFile, 4096)}`);
  if (!complete) lines.push('Not everything is done. Run the same command again to go on.');
  return lines.join('\n');
}
