import { stableUuid, UserDirectory } from '../directory/user-directory.js';
import { ApiFailure } from '../rest-api/api-failure.js';
import { RestBody, type RestFields } from '../rest-api/rest-body.js';
import { RestCall, RestController } from '../rest-api/rest-controller.js';
import { type RestTable, restTable } from '../rest-api/rest-table.js';
import { parseUserQuery, selectUsers, userRow } from './user-query.js';

const DEFAULT_PAGE_SIZE = 100_000;

/** Queries in the tenant's SQL. The emulator supports the part that lists and finds users. */
@RestController('Redrock')
export class RedrockController {
  readonly #directoryUuid = stableUuid('cloud directory');

  constructor(private readonly directory: UserDirectory) {}

  /** Supports the arguments Limit, PageNumber (from 1) and PageSize; ignores Caching. */
  @RestCall('query')
  query(@RestBody() fields: RestFields): RestTable {
    const query = parseUserQuery(fields.requiredText('Script'));
    const args = fields.fields('Args');
    if (args.text('SortBy') !== undefined) throw new ApiFailure(null, 'The emulator cannot sort: leave SortBy out.');
    const pageSize = args.positiveInteger('PageSize') ?? DEFAULT_PAGE_SIZE;
    const start = ((args.positiveInteger('PageNumber') ?? 1) - 1) * pageSize;
    const selected = selectUsers(query, this.directory.all(), this.#directoryUuid);
    const page = selected.slice(0, args.positiveInteger('Limit')).slice(start, start + pageSize);
    const rows = page.map((user) => userRow(query, user, this.#directoryUuid));
    return restTable(query.columns, rows, { entityType: 'User', fullCount: selected.length });
  }
}
