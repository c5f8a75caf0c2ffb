import { z } from 'zod';

/** Only the names by which the parts of a configuration speak of each other. */
const names = z.object({
  applications: z.array(
    z.object({ id: z.string(), knownScopes: z.array(z.object({ scope: z.string() })).default([]) }),
  ),
  serviceUsers: z
    .array(
      z.object({
        loginName: z.string(),
        applications: z.record(z.string(), z.object({ scopes: z.array(z.string()).default([]) })).default({}),
      }),
    )
    .default([]),
});

type Names = z.output<typeof names>;

/** Names that are given twice, and names of things that are not there. Says nothing while names cannot be read. */
export function referenceFaults(configuration: unknown): string[] {
  const read = names.safeParse(configuration);
  if (!read.success) return [];
  const { applications, serviceUsers } = read.data;
  return [
    ...repeated(applications.map(({ id }) => id)).map((i) => `applications[${i}].id: is given twice`),
    ...repeated(serviceUsers.map(({ loginName }) => loginName.toLowerCase())).map(
      (i) => `serviceUsers[${i}].loginName: is given twice`,
    ),
    ...serviceUsers.flatMap((user, i) => danglingPermissions(user, `serviceUsers[${i}].applications`, applications)),
  ];
}

function danglingPermissions(
  user: Names['serviceUsers'][number],
  path: string,
  applications: Names['applications'],
): string[] {
  return Object.entries(user.applications).flatMap(([id, { scopes }]) => {
    const application = applications.find((candidate) => candidate.id === id);
    if (!application) return [`${path}.${id}: there is no application with this id`];
    const known = new Set(application.knownScopes.map(({ scope }) => scope));
    return scopes.flatMap((scope, i) =>
      known.has(scope) ? [] : [`${path}.${id}.scopes[${i}]: the application does not know this scope`],
    );
  });
}

function repeated(values: readonly string[]): number[] {
  return values.flatMap((value, i) => (values.indexOf(value) < i ? [i] : []));
}
