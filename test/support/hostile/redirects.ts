import { failed, grant, type HostileAnswer, http } from './answer.js';

const redirected = failed('configuration', { says: 'redirect' });

const redirect = (status: number, name: string, location: string): HostileAnswer => ({
  name: `a redirect ${name} with status ${status}`,
  answer: http('', { status, headers: [`location: ${location}`], type: '' }),
  becomes: redirected,
});

/** Ways to have the secret sent elsewhere, or for ever. None is followed. */
export function redirects(elsewhere: string): readonly HostileAnswer[] {
  return [
    ...[301, 302, 303, 307, 308].flatMap((status) => [
      redirect(status, 'to another origin', `${elsewhere}/token`),
      redirect(status, 'to itself', '/token'),
    ]),
    redirect(307, 'to a file', 'file:///etc/passwd'),
    redirect(307, 'to data', 'data:application/json,{}'),
    redirect(308, 'to an address with a user', elsewhere.replace('//', '//user:password@')),
    redirect(302, 'to what is no address', 'http://['),
    redirect(300, 'to a choice', `${elsewhere}/token`),
    {
      name: 'a redirect without a place',
      answer: http('', { status: 307, type: '' }),
      becomes: redirected,
    },
    {
      name: 'a redirect with a token in hand',
      answer: http(grant(), { status: 302, headers: [`location: ${elsewhere}/token`] }),
      becomes: redirected,
    },
    {
      name: 'a refresh header to another origin',
      answer: http('<html>', { headers: [`refresh: 0;url=${elsewhere}/token`], type: 'text/html' }),
      becomes: failed('malformed'),
    },
    {
      name: 'a Location beside a page',
      answer: http('<html>', { status: 201, headers: [`location: ${elsewhere}/token`], type: 'text/html' }),
      becomes: failed('malformed'),
    },
  ];
}
