import type { Application } from './application.js';

/** The applications of the tenant. */
export class Applications {
  readonly #byId: ReadonlyMap<string, Application>;

  constructor(applications: readonly Application[]) {
    this.#byId = new Map(applications.map((application) => [application.id, application]));
  }

  /** @param id Compared exactly, unlike everything else in a path. */
  find(id: string): Application | undefined {
    return this.#byId.get(id);
  }
}
