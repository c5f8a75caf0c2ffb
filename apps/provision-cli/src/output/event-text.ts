import type { ImportEvent } from '../import/import-event.js';
import type { Parties } from '../settings/settings.js';
import { counted, duration } from './progress-text.js';
import { printable } from './printable.js';

/** An event in words; undefined for one that the progress shows. */
export function eventText(event: ImportEvent): string | undefined {
  switch (event.event) {
    case 'started':
      return startedText(event);
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
      return [
        `${counted(event.right, 'line')} right, ${counted(event.wrong, 'line')} wrong. Nothing was sent.`,
        ...maybeGoodText(event.maybeGood),
      ].join('\n');
    case 'created':
    case 'progress':
      return undefined;
  }
}

type EventNamed<Name> = Extract<ImportEvent, { readonly event: Name }>;

function startedText({ input, doneBefore, ...parties }: EventNamed<'started'>): string {
  const before = doneBefore > 0 ? ` Done already: ${counted(doneBefore, 'line')}.` : '';
  return `Importing ${printable(input)} into ${partiesText(parties)}.${before}`;
}

/** Who is called, and as whom. */
export function partiesText({ service, client, tenant, sample }: Parties): string {
  const defaults = sample ? ' (no tenant is set: the sample system of this machine)' : '';
  return `${printable(service)}, as ${printable(client)} of ${printable(tenant)}${defaults}`;
}

function maybeGoodText(lines: number): string[] {
  return lines > 0
    ? [`Of these, behind a quote that is not closed where it should be, and maybe good: ${counted(lines, 'line')}.`]
    : [];
}

function summaryText(summary: EventNamed<'summary'>): string {
  const { created, replayed, rejected, failed, complete, rejectsFile, maybeGood } = summary;
  const lines = [
    `${counted(created + replayed, 'user')} made, ${counted(rejected, 'line')} rejected${failed > 0 ? `, ${counted(failed, 'line')} failed` : ''}.`,
  ];
  if (replayed > 0) {
    lines.push(`Of these, made by an earlier attempt whose answer did not arrive: ${counted(replayed, 'user')}.`);
  }
  lines.push(...maybeGoodText(maybeGood));
  if (rejectsFile !== undefined) {
    lines.push(`Rejected lines, and why: ${printable(rejectsFile, 4096)}`);
    if (complete) lines.push('Mend these lines in the file, and run the same command again with --retry-rejected.');
  }
  if (!complete) lines.push('Not everything is done. Run the same command again to go on.');
  return lines.join('\n');
}
